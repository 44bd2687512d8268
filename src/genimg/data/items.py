"""What a source hands to the data module: items by index, as uint8."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol, Self

import torch
from torch import Tensor

from genimg.data.hashing import hash_int

ImageShape = tuple[int, int, int]  # (C, H, W)
Part = Literal["train", "test"]

_WHOLE_BYTES = 64 * 2**20  # data up to this size are digested whole, in a fraction of a second
_SAMPLE_BYTES = 8 * 2**20
_FROZEN_DRAW = 0


class Items(Protocol):
    """A collection of stills or clips.

    shape: ([T,] C, H, W) of one item.
    labels: int64 (N,), or None where there are no classes.
    classes: names of the labels 0, 1, ...; empty where there are none.
    groups: int64 (N,) where items that share a group must stay in one split, or None.
    lazy: decoded at every fetch, so that worker processes pay.
    """

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def labels(self) -> Tensor | None: ...
    @property
    def classes(self) -> tuple[str, ...]: ...
    @property
    def groups(self) -> Tensor | None: ...
    @property
    def lazy(self) -> bool: ...
    def __len__(self) -> int: ...
    def fetch(self, indices: Tensor, draw: int) -> Tensor:
        """uint8 (B, *shape). What is random in an item is a function of (draw, index) alone."""
        ...

    def subset(self, indices: Tensor) -> Self: ...
    def to(self, device: torch.device) -> Self: ...


class Source(Protocol):
    """Where a data set comes from.

    own_test: it has a test split; where it has none, the data module carves one from the pool "train".
    """

    @property
    def own_test(self) -> bool: ...
    def load(self, part: Part, shape: ImageShape) -> Items:
        """The pool: "train", which validation is carved from, or "test"."""
        ...


@dataclass(frozen=True)
class Stored:
    """Items in memory or in a memory map.

    images: uint8 (M, C, H, W), never copied: a subset names its rows.
    rows: int64 (N,), the row of `images` that each item is; None = all in order.
    """

    images: Tensor
    labels: Tensor | None = None
    classes: tuple[str, ...] = ()
    rows: Tensor | None = None
    groups: Tensor | None = None
    lazy: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.images.shape[1:])

    def __len__(self) -> int:
        return len(self.images if self.rows is None else self.rows)

    def fetch(self, indices: Tensor, draw: int) -> Tensor:
        rows = indices if self.rows is None else self.rows[indices]
        return self.images[rows.to(self.images.device, non_blocking=True)]  # a GPU is not waited for

    def subset(self, indices: Tensor) -> Stored:
        rows = indices if self.rows is None else self.rows[indices]
        return replace(self, rows=rows, labels=None if self.labels is None else self.labels[indices])

    def to(self, device: torch.device) -> Stored:
        return replace(self, images=self.images.to(device))


def fingerprint(items: Items, name: str) -> dict[str, Any]:
    """Plain types that tell one data set from another: {name, count, shape, digest}.

    digest: sha256 of every item's pixels and label where they are few, else of items at equal strides.
    """
    bytes_each = max(1, torch.Size(items.shape).numel())
    kept = len(items) if len(items) * bytes_each <= _WHOLE_BYTES else max(1, _SAMPLE_BYTES // bytes_each)
    indices = torch.arange(kept) * len(items) // kept
    digest = hashlib.sha256()
    for part in indices.split(max(1, min(256, _WHOLE_BYTES // bytes_each))):
        digest.update(items.fetch(part, hash_int(_FROZEN_DRAW)).cpu().contiguous().numpy().data)
    if items.labels is not None:
        digest.update(items.labels.cpu().contiguous().numpy().data)
    return {"name": name, "count": len(items), "shape": list(items.shape), "digest": digest.hexdigest()}
