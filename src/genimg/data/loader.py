"""Turns requests for items into batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from genimg.common.hashing import Use, hash_int
from genimg.data.items import Items, with_actions
from genimg.data.order import Request

Batch = dict[str, Any]


@dataclass(frozen=True)
class Batches:
    """An iterable of batches; each pass over it calls `requests` again.

    It is not a DataLoader, so that Lightning does not change the order or the sharing between ranks. Items in memory
    are indexed in this process; lazy items are decoded by `workers` processes, in the same order.

    split: number of the split. Random content differs between splits.
    """

    items: Items
    requests: Callable[[], Iterable[Request]]
    seed: int
    split: int
    augment: bool
    workers: int = 0

    def __iter__(self) -> Iterator[Batch]:
        active = with_actions(self.items)
        for request, images in self._fetch_all(_Fetch(self.items, self.seed, self.split)):
            batch: Batch = {"images": images, "indices": request.indices, "epoch": request.epoch}
            if self.items.labels is not None:
                batch["labels"] = self.items.labels[request.indices]
            if active is not None:
                batch["actions"] = active.actions_of(request.indices)
            yield batch | {"augment": self.augment}

    def _fetch_all(self, fetch: _Fetch) -> Iterator[tuple[Request, Tensor]]:
        if not (self.items.lazy and self.workers):
            return (fetch[request] for request in self.requests())
        requests: Any = self.requests()  # an iterable of requests in the place of a sampler of indices
        return iter(DataLoader(fetch, batch_size=None, sampler=requests, num_workers=self.workers))


@dataclass(frozen=True)
class _Fetch(Dataset):
    """Maps a request to its images; runs in the worker processes."""

    items: Items
    seed: int
    split: int

    def __getitem__(self, request: Request) -> tuple[Request, Tensor]:
        draw = hash_int(Use.DRAW, self.seed, self.split, request.epoch)
        return request, self.items.fetch(request.indices, draw)
