"""A vector in, an image out: the GAN's generator and the VAE's decoder."""

from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from genimg.models.networks.blocks import ImageSize, class_vectors, init_convolutions, pyramid, stage_widths


class Generator(nn.Module):
    """Fully connected layers from `z` to a small map, then a convolution and a doubling of the size up to the image.

    A convolution comes *before* its map is enlarged, at a quarter of the operations, and the enlargement is bilinear,
    without the checkerboards of transposed convolutions and pixel shuffles (Odena et al. 2016).

    Args:
        latent_dim: length of `z`.
        image_size: height and width of the image in pixels, 8 to 256 each.
        channels: channels of the output.
        width: channels at the finest size; doubled at every halving.
        max_width: the most channels any stage has, but not under `width`.
        hidden: width of the fully connected layer.
        smallest: the shorter side of the small map has at most so many pixels.
        num_classes: 0 for an unconditional generator; else each class has a scale and a shift of its own for the
            features of `z` (FiLM, Perez et al. 2018). Joined to `z`, a class only shifts them, and a GAN then soon
            draws one image a class: docs/results.md.
    """

    def __init__(
        self,
        latent_dim: int,
        image_size: ImageSize,
        channels: int,
        width: int,
        max_width: int,
        hidden: int,
        smallest: int,
        num_classes: int = 0,
    ) -> None:
        super().__init__()
        self.sizes = pyramid(image_size, smallest)[::-1]  # coarse to fine
        widths = stage_widths(len(self.sizes), width, max_width)[::-1]
        self.embedding = nn.Embedding(num_classes, 2 * hidden) if num_classes else None
        height, width_ = self.sizes[0]
        self.first_shape = (widths[0], height, width_)
        self.fc1 = nn.Linear(latent_dim, hidden)
        self.fc2 = nn.Linear(hidden, widths[0] * height * width_)
        self.convs = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in pairwise(widths))
        self.to_image = nn.Conv2d(widths[-1], channels, 3, padding=1)
        init_convolutions(self)
        if self.embedding is not None:
            nn.init.normal_(self.embedding.weight, std=0.5)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """`z` (B, latent_dim), `labels` int64 (B,) when conditional -> (B, C, H, W), unbounded."""
        h = self.fc1(z)
        if self.embedding is not None:
            scale, shift = class_vectors(self.embedding, labels).chunk(2, dim=1)  # (B, hidden) each
            h = h * (1 + scale) + shift
        h = F.leaky_relu(self.fc2(F.leaky_relu(h, 0.2)), 0.2)  # before the view: its gradient is in one memory format
        h = h.view(-1, *self.first_shape)  # (B, widths[0] * h * w) -> (B, widths[0], h, w)
        for size, conv in zip(self.sizes[1:], self.convs, strict=True):
            h = F.leaky_relu(F.interpolate(conv(h), size=size, mode="bilinear", align_corners=False), 0.2)
        return self.to_image(h)
