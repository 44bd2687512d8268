"""Figures of nearest neighbours in feature space: how much of one set lies within reach of the other.

Around every vector a ball that reaches to its k-th nearest neighbour in its own set; a vector is covered by a set
where it lies in one of the set's balls, the border included.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

_TILE = 1024  # rows and columns of a distance matrix at once: 8 MB, which stay in a processor's cache


class Manifold(NamedTuple):
    """Fidelity (precision, density) and diversity (recall, coverage); 1 is best, density may exceed it."""

    precision: float
    recall: float
    density: float
    coverage: float


def manifold(real: Tensor, fake: Tensor, k: int = 5) -> Manifold:
    """Precision and recall (Kynkaanniemi et al. 2019, section 2), density and coverage (Naeem et al. 2020, section 3).

    Args:
        real, fake: features (N, D), more than k vectors in each; compare equal numbers.
    """
    for features in (real, fake):
        if len(features) <= k:
            raise ValueError(f"k = {k} needs more than {k} vectors, got {len(features)}")
    real, fake = _prepared(real, fake)
    real_reach, fake_reach = _reach(real, k), _reach(fake, k)
    holding = torch.zeros(len(fake), dtype=torch.int64, device=real.device)  # balls of real vectors, a fake one each
    recalled, covered = (torch.zeros(len(real), dtype=torch.bool, device=real.device) for _ in range(2))
    for rows, columns, distances in _tiles(real, fake):
        within_real = distances <= real_reach[rows, None]
        holding[columns] += within_real.sum(0)
        covered[rows] |= within_real.any(1)
        recalled[rows] |= (distances <= fake_reach[columns]).any(1)
    return Manifold(
        precision=float((holding > 0).double().mean()),
        recall=float(recalled.double().mean()),
        density=float(holding.double().mean() / k),
        coverage=float(covered.double().mean()),
    )


def nearest(queries: Tensor, among: Tensor) -> tuple[Tensor, Tensor]:
    """Squared distance to, and index of, the nearest of `among` (M, D) for each of `queries` (N, D): (N,) each."""
    queries, among = _prepared(queries, among)
    best = torch.full((len(queries),), torch.inf, dtype=torch.float64, device=queries.device)
    index = torch.zeros(len(queries), dtype=torch.int64, device=queries.device)
    for rows, columns, distances in _tiles(queries, among):
        values, places = distances.min(1)
        nearer = values < best[rows]
        best[rows] = torch.where(nearer, values, best[rows])
        index[rows] = torch.where(nearer, places + columns.start, index[rows])
    return best, index


def copying(of_fake: Tensor, of_held_out: Tensor) -> float:
    """How often a generated image lies nearer to the training set than a held-out real one does; ties count half.

    0.5: as near as real images are. Towards 1: copies of training images. Towards 0: far from all of them. One
    minus the Mann-Whitney probability that Meehan et al. 2020 test for data-copying, over the whole space.

    Args:
        of_fake, of_held_out: distances (N,) to the nearest training image, as `nearest` gives them.
    """
    of_real = of_held_out.sort().values
    above = len(of_real) - torch.searchsorted(of_real, of_fake, right=True)
    equal = torch.searchsorted(of_real, of_fake, right=True) - torch.searchsorted(of_real, of_fake)
    return float((above + 0.5 * equal).double().mean() / len(of_real))


def _prepared(*sets: Tensor) -> list[Tensor]:
    """In float64 about the first set's mean, for a large common offset would drown the distances in rounding."""
    for features in sets:
        if not features.isfinite().all():
            raise ValueError("features must be finite numbers")
    middle = sets[0].double().mean(0)
    return [features.double() - middle for features in sets]


def _reach(features: Tensor, k: int) -> Tensor:
    """Squared distance of each vector to its k-th nearest neighbour in the set, itself not counted: (N,)."""
    least = torch.full((len(features), k + 1), torch.inf, dtype=torch.float64, device=features.device)
    for rows, _, distances in _tiles(features, features):
        here = distances.topk(min(k + 1, distances.shape[1]), largest=False).values
        least[rows] = torch.cat([least[rows], here], dim=1).topk(k + 1, largest=False).values
    return least.max(1).values


def _tiles(a: Tensor, b: Tensor) -> Iterator[tuple[slice, slice, Tensor]]:
    """The squared distances of (N, D) and (M, D) in float64, part by part: rows, columns, what lies there.

    By a matrix product; what rounding leaves of equal vectors becomes 0.
    """
    for rows in _slices(len(a)):
        for columns in _slices(len(b)):
            norms = a[rows].square().sum(1)[:, None] + b[columns].square().sum(1)
            distances = torch.addmm(norms, a[rows], b[columns].T, alpha=-2)
            yield rows, columns, distances.masked_fill_(distances <= norms.mul_(1e-12), 0.0)


def _slices(count: int) -> Iterator[slice]:
    return (slice(start, min(start + _TILE, count)) for start in range(0, count, _TILE))
