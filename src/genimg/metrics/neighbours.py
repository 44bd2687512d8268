"""Figures of nearest neighbours in feature space: how much of one set lies within reach of the other.

Around every vector a ball that reaches to its k-th nearest neighbour in its own set; a vector is covered by a set
where it lies in one of the set's balls, the border included.
"""

from typing import NamedTuple

import torch
from torch import Tensor

_ROWS = 1024  # of a distance matrix at once


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
    density = torch.zeros(len(fake), dtype=torch.float64, device=real.device)
    in_real = torch.zeros(len(fake), dtype=torch.bool, device=real.device)
    recalled, covered = [], []
    for start in range(0, len(real), _ROWS):
        rows = slice(start, start + _ROWS)
        distances = squared_distances(real[rows], fake)  # (rows, N_fake)
        within_real = distances <= real_reach[rows, None]
        density += within_real.sum(0)
        in_real |= within_real.any(0)
        recalled.append((distances <= fake_reach).any(1))
        covered.append(within_real.any(1))
    return Manifold(
        precision=float(in_real.double().mean()),
        recall=float(torch.cat(recalled).double().mean()),
        density=float(density.mean() / k),
        coverage=float(torch.cat(covered).double().mean()),
    )


def squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """(N, D) and (M, D) in float64 -> (N, M). By a matrix product; what rounding leaves of equal vectors becomes 0."""
    norms = a.square().sum(1)[:, None] + b.square().sum(1)
    distances = norms - 2 * a @ b.T
    return torch.where(distances <= 1e-12 * norms, 0.0, distances)


def nearest(queries: Tensor, among: Tensor) -> tuple[Tensor, Tensor]:
    """Squared distance to, and index of, the nearest of `among` (M, D) for each of `queries` (N, D): (N,) each."""
    queries, among = _prepared(queries, among)
    found = [squared_distances(part, among).min(1) for part in queries.split(_ROWS)]
    return torch.cat([f.values for f in found]), torch.cat([f.indices for f in found])


def copying(of_fake: Tensor, of_held_out: Tensor) -> float:
    """How often a generated picture lies nearer to the training set than a held-out real one does; ties count half.

    0.5: as near as real pictures are. Towards 1: copies of training pictures. Towards 0: far from all of them. One
    minus the Mann-Whitney probability that Meehan et al. 2020 test for data-copying, over the whole space.

    Args:
        of_fake, of_held_out: distances (N,) to the nearest training picture, as `nearest` gives them.
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
    reaches = []
    for start in range(0, len(features), _ROWS):
        distances = squared_distances(features[start : start + _ROWS], features)
        distances[torch.arange(len(distances)), torch.arange(start, start + len(distances))] = 0.0
        reaches.append(distances.kthvalue(k + 1, dim=1).values)
    return torch.cat(reaches)
