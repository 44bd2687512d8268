"""The decoder of the VAE: a latent vector in, the parameters of every pixel out."""

from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from genimg.networks.blocks import ImageSize, init_convolutions, join_class, pyramid, stage_widths


class Decoder(nn.Module):
    """Fully connected layers to a small map, then one convolution at each larger size.

    The GAN's generator has residual blocks at every size; a VAE gains more from seeing more images in the
    same time, for its blur is the likelihood's, not the network's.

    Args:
        latent_dim: length of the latent vector.
        image_size: height and width of the image in pixels, 8 to 256 each.
        channels: channels of the image.
        width: channels at the finest size; doubled at every halving.
        max_width: the most channels any stage has.
        hidden: width of the fully connected layer.
        num_classes: 0 for an unconditional decoder; else a learned embedding of the class joins the latent.
    """

    def __init__(
        self,
        latent_dim: int,
        image_size: ImageSize,
        channels: int,
        width: int,
        max_width: int = 128,
        hidden: int = 256,
        num_classes: int = 0,
    ) -> None:
        super().__init__()
        self.sizes = pyramid(image_size, smallest=7)[::-1]  # coarse to fine
        widths = stage_widths(len(self.sizes), width, max_width)[::-1]
        self.embedding = nn.Embedding(num_classes, latent_dim) if num_classes else None
        self.fc1 = nn.Linear(latent_dim * (2 if num_classes else 1), hidden)
        height, width_ = self.sizes[0]
        self.first_shape = (widths[0], height, width_)
        self.fc2 = nn.Linear(hidden, widths[0] * height * width_)
        self.convs = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in pairwise(widths))
        self.to_image = nn.Conv2d(widths[-1], channels, 3, padding=1)
        init_convolutions(self)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """`z` (B, latent_dim), `labels` int64 (B,) when conditional -> (B, C, H, W), unbounded."""
        z = join_class(z, self.embedding, labels)
        h = F.leaky_relu(self.fc1(z), 0.2)
        h = F.leaky_relu(self.fc2(h), 0.2).view(-1, *self.first_shape)  # (B, C*h*w) -> (B, C, h, w)
        for size, conv in zip(self.sizes[1:], self.convs, strict=True):
            h = F.leaky_relu(conv(F.interpolate(h, size=size, mode="nearest")), 0.2)
        return self.to_image(h)
