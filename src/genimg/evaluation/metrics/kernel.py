"""The kernel distance between two sets of feature vectors: an unbiased squared maximum mean discrepancy.

    MMD^2 = E[k(a, a')] + E[k(b, b')] - 2 E[k(a, b)],    k(x, y) = (x . y / D + 1)^3

Binkowski et al. 2018, section 4; with Inception features it is their KID. It has no bias in the number of vectors, so
it may come out a little below 0 for sets of one distribution.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class KernelDistance(NamedTuple):
    """Mean and standard deviation over the subsets; None where each subset would be the whole of both sets."""

    mean: float
    std: float | None


def kernel_distance(
    features_a: Tensor, features_b: Tensor, *, generator: torch.Generator, subsets: int = 100, size: int = 1000
) -> KernelDistance:
    """The mean over `subsets` pairs of subsets, and their spread, in float64.

    Args:
        features_a, features_b: (N, D).
        generator: on the CPU; draws the subsets, without repetition within one.
        size: vectors in a subset, at most as many as the smaller set has.
    """
    a, b = features_a.double().cpu(), features_b.double().cpu()
    size = min(size, len(a), len(b))
    if size < 2:
        raise ValueError(f"both sets need two vectors or more, got {len(a)} and {len(b)}")
    whole = size == len(a) == len(b)
    drawn = range(1 if whole else subsets)
    values = torch.stack([_squared_mmd(_draw(a, size, generator), _draw(b, size, generator)) for _ in drawn])
    return KernelDistance(float(values.mean()), None if whole else float(values.std(correction=0)))


def _draw(features: Tensor, size: int, generator: torch.Generator) -> Tensor:
    return features[torch.randperm(len(features), generator=generator)[:size]]


def _squared_mmd(a: Tensor, b: Tensor) -> Tensor:
    """Unbiased: a vector is not compared with itself. Gretton et al. 2012, eq. 3."""
    count = len(a)
    within_a, within_b, across = _kernel(a, a), _kernel(b, b), _kernel(a, b)
    pairs = count * (count - 1)
    within = (within_a.sum() - within_a.trace() + within_b.sum() - within_b.trace()) / pairs
    return within - 2 * across.mean()


def _kernel(x: Tensor, y: Tensor) -> Tensor:
    return torch.addmm(x.new_ones(1), x, y.T, alpha=1 / x.shape[1]).pow_(3)  # in place: half the time
