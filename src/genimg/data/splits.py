"""Train, validation and test: disjoint, exhaustive, and the same in every run on the same data."""

from __future__ import annotations

import torch
from torch import Tensor

from genimg.data.hashing import Use, hash_int
from genimg.data.items import Items


def carve(items: Items, fraction: float, use: Use) -> tuple[Items, Items]:
    """(rest, part): `fraction` of the items, at least one, set aside by a permutation of the data alone.

    The seed of a run has no say: two runs with two seeds are judged on the same images.
    Items of one group (windows of one clip) stay together.
    """
    if fraction == 0:
        return items, items.subset(torch.zeros(0, dtype=torch.int64))
    groups = torch.arange(len(items)) if items.groups is None else items.groups
    rest, part = _carve_groups(groups, fraction, use)
    return items.subset(rest), items.subset(part)


def _carve_groups(groups: Tensor, fraction: float, use: Use) -> tuple[Tensor, Tensor]:
    """Indices (rest, part), each in ascending order."""
    names = groups.unique()
    generator = torch.Generator().manual_seed(hash_int(use, len(names)))
    count = max(1, round(len(names) * fraction))
    chosen = names[torch.randperm(len(names), generator=generator)[:count]]
    inside = torch.isin(groups, chosen)
    return (~inside).nonzero().flatten(), inside.nonzero().flatten()
