"""From requests to batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from genimg.data.hashing import Use, hash_int
from genimg.data.items import Items
from genimg.data.order import Request

Batch = dict[str, Any]


@dataclass(frozen=True)
class Batches:
    """An iterable of batches that asks `requests` anew for every pass.

    Not a DataLoader itself, so that Lightning leaves order and ranks alone. Items in memory are indexed in
    this process; lazy ones are decoded by `workers` processes over the same requests, in the same order.
    """

    items: Items
    requests: Callable[[], Iterable[Request]]
    seed: int
    split: int  # a number of the split's own: train and validation draw nothing in common
    augment: bool
    workers: int = 0

    def __iter__(self) -> Iterator[Batch]:
        fetch = _Fetch(self.items, self.seed, self.split)
        for request, images in self._fetched(fetch):
            batch: Batch = {"images": images, "indices": request.indices, "epoch": request.epoch}
            if self.items.labels is not None:
                batch["labels"] = self.items.labels[request.indices]
            yield batch | {"augment": self.augment}

    def _fetched(self, fetch: _Fetch) -> Iterator[tuple[Request, Tensor]]:
        if not (self.items.lazy and self.workers):
            return ((request, fetch[request][1]) for request in self.requests())
        requests: Any = _Requests(self.requests)
        return iter(DataLoader(fetch, batch_size=None, sampler=requests, num_workers=self.workers))


@dataclass(frozen=True)
class _Fetch(Dataset):
    """A request in, its images out: what a worker process runs."""

    items: Items
    seed: int
    split: int

    def __getitem__(self, request: Request) -> tuple[Request, Tensor]:
        draw = hash_int(Use.DRAW, self.seed, self.split, request.epoch)
        return request, self.items.fetch(request.indices, draw)


@dataclass(frozen=True)
class _Requests:
    """The requests as a sampler: an iterable without a length."""

    make: Callable[[], Iterable[Request]]

    def __iter__(self) -> Iterator[Request]:
        return iter(self.make())
