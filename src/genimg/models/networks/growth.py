"""Progressive growing: the first part of a run trains on smaller images, at a fraction of the cost.

Karras et al. 2018, "Progressive growing of GANs for improved quality, stability, and variation", section 2,
https://arxiv.org/abs/1710.10196
"""

from typing import NamedTuple, Protocol, runtime_checkable

import torch.nn.functional as F
from torch import Tensor

STEP = 1 / 8  # a size starts at this fraction of the progress at which the next larger one starts
FADE = 1 / 4  # of the progress at which the full size starts: the time in which a new size replaces the one before


class Level(NamedTuple):
    """The size at which the networks are trained.

    halvings: of the full size; 0 = full size.
    blend: weight of the next smaller size, from 1, where this size has just started, to 0.
    """

    halvings: int
    blend: float


FULL = Level(0, 0.0)


@runtime_checkable
class Grows(Protocol):
    """A generator or a discriminator whose `forward` takes a `Level` as its last argument.

    num_sizes: the full size, and the halved ones on which the network can be trained.
    """

    num_sizes: int


def level_at(progress: float, full_from: float, num_sizes: int) -> Level:
    """The level at `progress`, with training at full size from progress `full_from` on; 0 = from the start."""
    start = full_from
    for halvings in range(num_sizes - 1):
        if progress >= start:
            blend = 1 - (progress - start) / (full_from * FADE) if full_from else 0.0
            return Level(halvings, max(0.0, blend))
        start *= STEP
    return Level(num_sizes - 1, 0.0)


def halved(images: Tensor, times: int = 1) -> Tensor:
    """(B, C, H, W) -> (B, C, ceil(H / 2), ceil(W / 2)) `times` times, each pixel the mean of up to four."""
    for _ in range(times):
        images = F.avg_pool2d(images, 2, ceil_mode=True, count_include_pad=False)
    return images
