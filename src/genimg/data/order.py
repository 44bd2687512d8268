"""The order of the data: a permutation of each epoch, entered anywhere by the number of images seen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from genimg.data.hashing import Use, hash_int


@dataclass(frozen=True)
class Request:
    """The items of one batch: int64 (B,) indices in their split, and the epoch they are asked for in."""

    indices: Tensor
    epoch: int


def permutation(num_items: int, seed: int, epoch: int) -> Tensor:
    """int64 (num_items,), a function of (seed, epoch)."""
    generator = torch.Generator().manual_seed(hash_int(Use.ORDER, seed, epoch))
    return torch.randperm(num_items, generator=generator)


def evenly_spaced_indices(total: int, count: int) -> Tensor:
    """int64 (count,): that many of `total` indices, equally far apart, for a set may lie class after class."""
    return torch.arange(count) * total // max(count, 1)


@dataclass(frozen=True)
class TrainOrder:
    """Endless batches, the last partial one of an epoch dropped. `batch_size` counts all ranks together."""

    num_items: int
    batch_size: int
    seed: int
    rank: int = 0
    world_size: int = 1

    @property
    def images_per_epoch(self) -> int:
        return self.num_items // self.batch_size * self.batch_size

    def starting_at(self, images_seen: int) -> Iterator[Request]:
        """What an uninterrupted run would see after `images_seen` images, for ever."""
        epoch, position = divmod(images_seen, self.images_per_epoch)
        first = position // self.batch_size * self.batch_size
        while True:
            order = permutation(self.num_items, self.seed, epoch)
            for start in range(first, self.images_per_epoch, self.batch_size):
                batch = order[start : start + self.batch_size]
                yield Request(batch[self.rank :: self.world_size], epoch)
            epoch, first = epoch + 1, 0


@dataclass(frozen=True)
class EvaluationOrder:
    """Every item once, in order. A rank takes every world_size-th item of each batch."""

    num_items: int
    batch_size: int
    rank: int = 0
    world_size: int = 1

    def __iter__(self) -> Iterator[Request]:
        for batch in torch.arange(self.num_items).split(self.batch_size):
            mine = batch[self.rank :: self.world_size]
            if len(mine):
                yield Request(mine, epoch=0)
