"""An image in, a vector of features out: what the discriminator and the encoder share."""

from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from genimg.models.networks.blocks import ImageSize, init_convolutions, pyramid, stage_widths


class Trunk(nn.Module):
    """Convolutions that halve the image down to a small map, then a fully connected layer.

    The first convolution steps over the image two pixels at a time, with a kernel of four, so that each pixel but
    the border's counts as much as its neighbours; those at full size would cost most and add little. Without
    normalisation, so that no image depends on its batch.

    Args:
        image_size: height and width of the image in pixels, 8 to 256 each.
        channels: channels of the image.
        width: the mirroring generator's channels at full size: twice as many at half of it, and so on.
        max_width: the most channels any stage has, but not under `width`.
        hidden: length of the vector of features.
        smallest: the shorter side of the small map has at most so many pixels.
    """

    def __init__(
        self, image_size: ImageSize, channels: int, width: int, max_width: int, hidden: int, smallest: int
    ) -> None:
        super().__init__()
        sizes = pyramid(image_size, smallest)
        widths = stage_widths(len(sizes), width, max_width)[1:]
        self.from_image = nn.Conv2d(channels, widths[0], 4, stride=2, padding=1)
        self.convs = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in pairwise(widths))
        height, width_ = sizes[-1]
        self.fc = nn.Linear(widths[-1] * height * width_, hidden)
        init_convolutions(self)

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, W) in [-1, 1] -> (B, hidden)."""
        height, width = images.shape[2:]
        if height % 2 or width % 2:  # an odd size would lose its last line
            images = F.pad(images, (0, width % 2, 0, height % 2), mode="replicate")
        h = self.from_image(images)
        for conv in self.convs:
            h = conv(F.avg_pool2d(F.leaky_relu(h, 0.2), 2, ceil_mode=True))
        h = F.leaky_relu(
            h.flatten(1), 0.2
        )  # (B, C, h, w) -> (B, C*h*w); after, so its gradient is in one memory format
        return F.leaky_relu(self.fc(h), 0.2)
