"""From an image to a vector of features: what the discriminator and the encoder have in common."""

from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from genimg.networks.blocks import ImageSize, ResidualBlock, pyramid, stage_widths


class Trunk(nn.Module):
    """Residual stages that halve the image down to a small map, then a fully connected layer.

    No normalisation: every image is seen by itself.

    Args:
        image_size: height and width of the image in pixels, 8 to 256 each.
        channels: channels of the image.
        width: channels at the finest size; doubled at every halving.
        max_width: the most channels any stage has.
    """

    def __init__(self, image_size: ImageSize, channels: int, width: int, max_width: int) -> None:
        super().__init__()
        sizes = pyramid(image_size)
        widths = stage_widths(len(sizes), width, max_width)
        self.from_image = nn.Conv2d(channels, widths[0], 3, padding=1)
        self.blocks = nn.ModuleList(ResidualBlock(w) for w in widths)
        self.widen = nn.ModuleList(nn.Conv2d(a, b, 1) for a, b in pairwise(widths))
        height, width_ = sizes[-1]
        self.num_features = widths[-1]
        self.to_features = nn.Linear(widths[-1] * height * width_, self.num_features)

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, W) -> features (B, num_features)."""
        first, *others = self.blocks
        h = first(self.from_image(images))
        for widen, block in zip(self.widen, others, strict=True):
            h = block(widen(F.avg_pool2d(h, 2, ceil_mode=True)))
        h = F.leaky_relu(h, 0.2).flatten(1)  # (B, C, h, w) -> (B, C*h*w)
        return F.leaky_relu(self.to_features(h), 0.2)
