"""The order of the data: one permutation per epoch, which can be entered at any number of images seen."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from genimg.common.hashing import Use, hash_int


@dataclass(frozen=True)
class Request:
    """The items of one batch: int64 (B,) indices in their split, and the epoch."""

    indices: Tensor
    epoch: int


def evenly_spaced_indices(total: int, count: int) -> Tensor:
    """Returns `count` of `total` indices, int64 (count,), evenly spaced: a data set may be sorted by class."""
    return torch.arange(count) * total // max(count, 1)


@dataclass(frozen=True)
class TrainOrder:
    """An endless sequence of batches: each epoch is a permutation that is a function of (seed, epoch).

    `batch_size` counts the items of all ranks. The last partial batch of an epoch is dropped.
    """

    num_items: int
    batch_size: int
    seed: int
    rank: int = 0
    world_size: int = 1

    @property
    def images_per_epoch(self) -> int:
        return self.num_items // self.batch_size * self.batch_size

    def starting_at(self, images_seen: int) -> Iterator[Request]:
        """Yields the batches that an uninterrupted run sees after `images_seen` images, without end."""
        epoch, position = divmod(images_seen, self.images_per_epoch)
        first = position // self.batch_size * self.batch_size
        while True:
            generator = torch.Generator().manual_seed(hash_int(Use.ORDER, self.seed, epoch))
            order = torch.randperm(self.num_items, generator=generator)
            for start in range(first, self.images_per_epoch, self.batch_size):
                batch = order[start : start + self.batch_size]
                yield Request(batch[self.rank :: self.world_size], epoch)
            epoch, first = epoch + 1, 0


def evaluation_requests(indices: Tensor, batch_size: int) -> list[Request]:
    """Returns requests for the given items once, in order."""
    return [Request(batch, epoch=0) for batch in indices.split(batch_size) if len(batch)]
