"""The kernel distance between two sets of feature vectors: an unbiased squared maximum mean discrepancy (MMD).

    MMD^2 = E[k(a, a')] + E[k(b, b')] - 2 E[k(a, b)],    k(x, y) = (x . y / D + 1)^3

Binkowski et al. 2018, section 4. It is called KID only with Inception-v3 features. Its expectation does not depend on
the number of vectors, so it can be slightly negative for two sets of one distribution.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class KernelDistance(NamedTuple):
    """Mean and standard deviation over the subsets; std is None if each subset would equal both sets."""

    mean: float
    std: float | None


def kernel_distance(
    features_a: Tensor, features_b: Tensor, *, generator: torch.Generator, subsets: int = 100, size: int = 1000
) -> KernelDistance:
    """Returns mean and standard deviation over `subsets` pairs of random subsets. Computed in float64.

    Args:
        features_a, features_b: (N, D).
        generator: on the CPU; draws the subsets without replacement.
        size: vectors per subset, limited to the size of the smaller set.
    """
    a, b = features_a.double().cpu(), features_b.double().cpu()
    size = min(size, len(a), len(b))
    if size < 2:
        raise ValueError(f"both sets need at least two vectors, got {len(a)} and {len(b)}")
    exhaustive = size == len(a) == len(b)
    draws = range(1 if exhaustive else subsets)
    values = torch.stack([_squared_mmd(_subset(a, size, generator), _subset(b, size, generator)) for _ in draws])
    return KernelDistance(float(values.mean()), None if exhaustive else float(values.std(correction=0)))


def _subset(features: Tensor, size: int, generator: torch.Generator) -> Tensor:
    return features[torch.randperm(len(features), generator=generator)[:size]]


def _squared_mmd(a: Tensor, b: Tensor) -> Tensor:
    """The unbiased estimator, which excludes pairs of a vector with itself. Gretton et al. 2012, eq. 3."""
    count = len(a)
    within_a, within_b, across = _kernel(a, a), _kernel(b, b), _kernel(a, b)
    pairs = count * (count - 1)
    within = (within_a.sum() - within_a.trace() + within_b.sum() - within_b.trace()) / pairs
    return within - 2 * across.mean()


def _kernel(x: Tensor, y: Tensor) -> Tensor:
    return torch.addmm(x.new_ones(1), x, y.T, alpha=1 / x.shape[1]).pow_(3)  # in place: half the time
