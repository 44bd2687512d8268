"""From an image to a map of features, whose places become codes, and back (`model/network=fsq` and `vq`).

Residual blocks at every resolution but the image's own, with normalisation by groups of channels, so that no image
depends on its batch. Nothing is fully connected: a code describes its part of the image.
"""

from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from genimg.models.networks.frames import coarse_sizes, group_norm
from genimg.models.networks.layers import init_convolutions
from genimg.models.networks.shape import NetworkShape


class Residual(nn.Module):
    """Two of normalisation, activation and convolution, added to their input (He et al. 2016, pre-activation).

    Args:
        channels: of its input and output.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = group_norm(channels), group_norm(channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, h: Tensor) -> Tensor:
        """(B, channels, H, W), shape kept."""
        inner = self.conv1(F.leaky_relu(self.norm1(h), 0.2))
        return h + self.conv2(F.leaky_relu(self.norm2(inner), 0.2))


class Encoder(nn.Module):
    """From an image to a map of features.

    Args:
        shape: the image to read and the size of the network; `width` counts channels at half resolution.
        blocks: residual blocks at the coarsest resolution; the others have one.
    """

    def __init__(self, shape: NetworkShape, blocks: int) -> None:
        super().__init__()
        widths = shape.widths(len(coarse_sizes(shape)))
        channels = [shape.channels, *widths]
        self.down = nn.ModuleList(nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in pairwise(channels))
        self.stages = nn.ModuleList(_stage(width, 1) for width in widths[:-1])
        self.stages.append(_stage(widths[-1], blocks))
        self.norm = group_norm(widths[-1])
        init_convolutions(self)
        _start_as_identity(self)

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, C, H, W) in [-1, 1] -> features (B, F, h, w)."""
        h = images
        for conv, stage in zip(self.down, self.stages, strict=True):
            h = stage(conv(h))
        return F.leaky_relu(self.norm(h), 0.2)


class Decoder(nn.Module):
    """From a map of features to an image, the mirror of `Encoder`.

    As in `conv.Decoder`, a convolution comes before each enlargement, which is bilinear. At full resolution there are
    two small convolutions.

    Args:
        shape: the image to draw and the size of the network.
        blocks: residual blocks at the coarsest resolution; the others have one.
    """

    def __init__(self, shape: NetworkShape, blocks: int) -> None:
        super().__init__()
        self.size = shape.height_width
        self.sizes = coarse_sizes(shape)[::-1]  # coarse to half resolution
        widths = shape.widths(len(self.sizes))[::-1]
        self.first = nn.Conv2d(widths[0], widths[0], 3, padding=1)
        self.stages = nn.ModuleList([_stage(widths[0], blocks), *(_stage(width, 1) for width in widths[1:])])
        self.up = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in pairwise(widths))
        self.norm = group_norm(widths[-1])
        pixel_width = max(1, widths[-1] // 2)
        self.to_pixels = nn.Conv2d(widths[-1], pixel_width, 3, padding=1)
        self.to_image = nn.Conv2d(pixel_width, shape.channels, 3, padding=1)
        init_convolutions(self)
        _start_as_identity(self)

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, F, h, w) -> images (B, C, H, W), unbounded."""
        first, *stages = self.stages
        h = first(self.first(features))
        for size, conv, stage in zip(self.sizes[1:], self.up, stages, strict=True):
            h = stage(_enlarged(conv(h), size))
        h = _enlarged(self.to_pixels(F.leaky_relu(self.norm(h), 0.2)), self.size)
        return self.to_image(F.leaky_relu(h, 0.2))


def _stage(width: int, blocks: int) -> nn.Sequential:
    return nn.Sequential(*(Residual(width) for _ in range(blocks)))


def _enlarged(h: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(h, size=size, mode="bilinear", align_corners=False)


def _start_as_identity(network: nn.Module) -> None:
    """The last convolution of every block starts at 0 (Goyal et al. 2017, section 5.1)."""
    for block in network.modules():
        if isinstance(block, Residual):
            nn.init.zeros_(block.conv2.weight)
