"""Features of a convolutional network with random weights, without labels, training or download.

They are not semantic, but over a run their Frechet distance correlates with that of trained classifiers (rank
correlations of .74 to .94, docs/results.md). They therefore serve to choose among the checkpoints of one run.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FEATURES = 64
_WIDTHS = (64, 128, 128)
_KERNELS = (5, 3, 3)
_LARGEST = 64  # pixels of the longer side: larger images are reduced first
_SEED = 0


class RandomFeatures(nn.Module):
    """Three convolutions with stride 2; the 2 x 2 means of their outputs are projected to 64 features.

    The weights come from a separate generator; the global one is unchanged.

    Args:
        channels: of the images.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(_SEED)
        for index, (before, after, kernel) in enumerate(zip((channels, *_WIDTHS), _WIDTHS, _KERNELS, strict=False)):
            gain = math.sqrt(2 / (before * kernel**2))  # He et al. 2015, eq. 10
            weight = gain * torch.randn(after, before, kernel, kernel, generator=generator)
            self.register_buffer(f"weight_{index}", weight.contiguous(memory_format=torch.channels_last))
        total = 4 * sum(_WIDTHS)
        self.register_buffer("projection", torch.randn(FEATURES, total, generator=generator) / math.sqrt(total))

    def forward(self, images: Tensor) -> Tensor:
        """uint8 (B, C, H, W) -> (B, 64)."""
        h = images.float() / 127.5 - 1
        largest = max(h.shape[2:])
        if largest > _LARGEST:
            smaller = [max(1, round(side * _LARGEST / largest)) for side in h.shape[2:]]
            h = F.interpolate(h, size=smaller, mode="bilinear", antialias=True)
        h = h.contiguous(memory_format=torch.channels_last)
        levels = []
        for index, kernel in enumerate(_KERNELS):
            h = F.relu(F.conv2d(h, self.get_buffer(f"weight_{index}"), stride=2, padding=kernel // 2))
            levels.append(F.adaptive_avg_pool2d(h, 2).flatten(1))  # (B, width, h, w) -> (B, width * 4)
        return F.linear(torch.cat(levels, dim=1), self.get_buffer("projection"))
