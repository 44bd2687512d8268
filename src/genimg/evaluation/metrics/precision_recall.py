"""Nearest-neighbour metrics in feature space: precision, recall, density, coverage and data copying.

The manifold of a set is the union of balls around its vectors; the radius of each ball is the distance to the k-th
nearest neighbour in the same set. Precision and recall use closed balls (Kynkaanniemi et al. 2019, eq. 1), density and
coverage open ones (the code of Naeem et al. 2020): without ties the two agree, and a set has density 1 in itself.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

TILE = 1024  # rows and columns of a block of the distance matrix: 8 MB, which fit in a processor's cache
_ROUNDING = 1e-12  # of a squared distance by a matrix product, relative to the squared norms


class PRDC(NamedTuple):
    """Fidelity (precision, density) and diversity (recall, coverage); 1 is best, density may exceed 1."""

    precision: float
    recall: float
    density: float
    coverage: float


def prdc(real: Tensor, fake: Tensor, k: int = 5, *, tile: int = TILE) -> PRDC:
    """Precision and recall (Kynkaanniemi et al. 2019, section 2), density and coverage (Naeem et al. 2020, section 3).

    Args:
        real, fake: features (N, D), more than k vectors each; compare values of equal numbers only.
        tile: rows and columns per block of the distance matrix.
    """
    for features in (real, fake):
        if len(features) <= k:
            raise ValueError(f"k = {k} needs more than {k} vectors, got {len(features)}")
    real, fake = _centred(real, fake)
    real_radius, fake_radius = _radius(real, k, tile), _radius(fake, k, tile)
    tie = _ROUNDING * torch.cat([real, fake]).square().sum(1).max()  # smaller differences of distances are rounding
    balls = torch.zeros(len(fake), dtype=torch.int64, device=real.device)  # balls of real vectors around each fake one
    realistic = torch.zeros(len(fake), dtype=torch.bool, device=real.device)
    recalled, covered = (torch.zeros(len(real), dtype=torch.bool, device=real.device) for _ in range(2))
    for rows, columns, distances in _tiles(real, fake, tile):
        radius = real_radius[rows, None]
        inside = distances < radius - tie
        balls[columns] += inside.sum(0)
        covered[rows] |= inside.any(1)
        realistic[columns] |= (distances <= radius + tie).any(0)
        recalled[rows] |= (distances <= fake_radius[columns] + tie).any(1)
    return PRDC(
        precision=float(realistic.double().mean()),
        recall=float(recalled.double().mean()),
        density=float(balls.double().mean() / k),
        coverage=float(covered.double().mean()),
    )


def nearest(queries: Tensor, candidates: Tensor, *, tile: int = TILE) -> tuple[Tensor, Tensor]:
    """Squared distance to, and index of, the nearest of `candidates` (M, D) for each of `queries` (N, D): (N,) each."""
    queries, candidates = _centred(queries, candidates)
    best = torch.full((len(queries),), torch.inf, dtype=torch.float64, device=queries.device)
    index = torch.zeros(len(queries), dtype=torch.int64, device=queries.device)
    for rows, columns, distances in _tiles(queries, candidates, tile):
        values, places = distances.min(1)
        nearer = values < best[rows]
        best[rows] = torch.where(nearer, values, best[rows])
        index[rows] = torch.where(nearer, places + columns.start, index[rows])
    return best, index


def copying(fake_distances: Tensor, held_out_distances: Tensor) -> float:
    """Probability that a generated image is nearer to the training set than a held-out image; ties count half.

    0.5: generated images are as near as held-out ones. Near 1: copies of training images. Near 0: far from all
    training images. It is one minus the Mann-Whitney probability of the data-copying test of Meehan et al. 2020,
    over the entire space.

    Args:
        fake_distances, held_out_distances: distances (N,) to the nearest training image, from `nearest`.
    """
    ordered = held_out_distances.sort().values
    above = len(ordered) - torch.searchsorted(ordered, fake_distances, right=True)
    equal = torch.searchsorted(ordered, fake_distances, right=True) - torch.searchsorted(ordered, fake_distances)
    return float((above + 0.5 * equal).double().mean() / len(ordered))


def _centred(*sets: Tensor) -> list[Tensor]:
    """The sets in float64 minus the mean of the first: a large common offset would cause rounding errors."""
    for features in sets:
        if not features.isfinite().all():
            raise ValueError("features must be finite numbers")
    mean = sets[0].double().mean(0)
    return [features.double() - mean for features in sets]


def _radius(features: Tensor, k: int, tile: int) -> Tensor:
    """Squared distance of each vector to its k-th nearest neighbour in the set, itself excluded: (N,)."""
    least = torch.full((len(features), k + 1), torch.inf, dtype=torch.float64, device=features.device)
    for rows, _, distances in _tiles(features, features, tile):
        block = distances.topk(min(k + 1, distances.shape[1]), largest=False).values
        least[rows] = torch.cat([least[rows], block], dim=1).topk(k + 1, largest=False).values
    return least.max(1).values


def _tiles(a: Tensor, b: Tensor, tile: int) -> Iterator[tuple[slice, slice, Tensor]]:
    """Yields blocks (rows, columns, squared distances) of the distance matrix of (N, D) and (M, D) in float64.

    Uses a matrix product; rounding errors between equal vectors are set to 0.
    """
    for rows in _slices(len(a), tile):
        for columns in _slices(len(b), tile):
            norms = a[rows].square().sum(1)[:, None] + b[columns].square().sum(1)
            distances = torch.addmm(norms, a[rows], b[columns].T, alpha=-2)
            yield rows, columns, distances.masked_fill_(distances <= norms.mul_(_ROUNDING), 0.0)


def _slices(count: int, tile: int) -> Iterator[slice]:
    return (slice(start, min(start + tile, count)) for start in range(0, count, tile))
