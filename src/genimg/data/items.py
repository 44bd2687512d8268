"""The interface between a source of data and the data module: items addressed by index, as uint8."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol, Self, runtime_checkable

import torch
from torch import Tensor

from genimg.common.hashing import hash_int

ImageShape = tuple[int, int, int]  # (C, H, W)
Part = Literal["train", "test"]

_HASHED_COMPLETELY = 64 * 2**20  # bytes; smaller data are hashed completely, in a fraction of a second
_HASHED_SAMPLE = 8 * 2**20  # bytes hashed of larger data
_FIXED_DRAW = 0


class Items(Protocol):
    """A collection of N images or clips.

    shape: (C, H, W) of an image, (T, C, H, W) of a clip.
    labels: int64 (N,), or None without classes.
    classes: names of the labels 0, 1, ...; empty without classes.
    groups: int64 (N,), or None. Items of one group stay in one split.
    lazy: whether `fetch` decodes files, so that worker processes are worthwhile.
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
        """Returns uint8 (B, *shape) for int64 indices (B,). Random content is a function of (draw, index) alone."""
        ...

    def subset(self, indices: Tensor) -> Self:
        """Returns the items at int64 indices (B,), which become items 0 to B - 1."""
        ...

    def to(self, device: torch.device) -> Self:
        """Returns the items with their pixels on `device`, if they are in memory."""
        ...


@runtime_checkable
class HasActions(Protocol):
    """Items that are clips with an action between each frame and the next, if `action_names` is not empty.

    action_names: names of the actions 0, 1, ...
    """

    @property
    def action_names(self) -> tuple[str, ...]: ...
    def actions_of(self, indices: Tensor) -> Tensor:
        """The actions of the clips at int64 indices (B,): int64 (B, T - 1)."""
        ...


def with_actions(items: Items) -> HasActions | None:
    """The items, if they have actions."""
    return items if isinstance(items, HasActions) and items.action_names else None


class Source(Protocol):
    """The origin of a data set. A user-defined source is any class with these two members.

    has_test_split: whether the data set has a test split. Otherwise the data module sets one aside from "train".
    """

    @property
    def has_test_split(self) -> bool: ...
    def load(self, part: Part, shape: ImageShape) -> Items:
        """Returns the items of a part, converted to images of `shape`.

        The data module sets the validation items aside from "train". It loads "test" only from sources with a test
        split.
        """
        ...


def require_source(name: str, value: object) -> None:
    """Raises TypeError if the argument `name` is no source: a configuration may put any value in its place."""
    if not hasattr(value, "load"):
        raise TypeError(f"{name} is {value!r:.60}, and cannot be loaded")


@dataclass(frozen=True)
class TensorItems:
    """Items in one tensor, in memory or memory-mapped.

    images: uint8 (M, *shape). A subset shares it.
    labels, classes, groups: as for `Items`.
    rows: int64 (N,), the row in `images` of each item; None = all rows in order.
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
        return self.images[rows.to(self.images.device, non_blocking=True)]  # without waiting for a GPU

    def subset(self, indices: Tensor) -> TensorItems:
        rows = indices if self.rows is None else self.rows[indices]
        return replace(self, rows=rows, labels=None if self.labels is None else self.labels[indices])

    def to(self, device: torch.device) -> TensorItems:
        return replace(self, images=self.images.to(device))


def fingerprint(items: Items, name: str) -> dict[str, Any]:
    """Identifies a data set: {name, count, shape, digest}, of plain types.

    `digest` is the sha256 of the pixels, labels and actions: of all items of a small data set, otherwise of all labels
    and of evenly spaced items.
    """
    bytes_each = max(1, torch.Size(items.shape).numel())
    kept = len(items) if len(items) * bytes_each <= _HASHED_COMPLETELY else max(1, _HASHED_SAMPLE // bytes_each)
    indices = torch.arange(kept) * len(items) // kept
    digest = hashlib.sha256()
    for part in indices.split(max(1, min(256, _HASHED_COMPLETELY // bytes_each))):
        digest.update(items.fetch(part, hash_int(_FIXED_DRAW)).cpu().contiguous().numpy().data)
    if items.labels is not None:
        digest.update(items.labels.cpu().contiguous().numpy().data)
    if (active := with_actions(items)) is not None:
        digest.update(active.actions_of(indices).contiguous().numpy().data)
    return {"name": name, "count": len(items), "shape": list(items.shape), "digest": digest.hexdigest()}
