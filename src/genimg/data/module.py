"""One data module for stills and sequences: splits, order, batches, normalisation."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from typing import Any, Literal

import torch
from pytorch_lightning import LightningDataModule
from torch import Tensor

from genimg.common.errors import UserError
from genimg.common.limits import LARGEST_ITEM, check_sides
from genimg.data.hashing import Use, hash_words
from genimg.data.items import ImageShape, Items, Source, fingerprint
from genimg.data.loader import Batch, Batches
from genimg.data.order import EvaluationOrder, Request, TrainOrder, evenly_spaced_indices
from genimg.data.splits import carve

_TRAIN, _VALIDATION, _TEST = 0, 1, 2
_FROZEN_SEED = 0  # validation and test clips are the same for every run's seed
_ON_DEVICE_BYTES = 2 * 2**30  # training data up to this size live on the accelerator


class GenerativeData(LightningDataModule):
    """Batches {"images": uint8 (B, [T,] C, H, W), "labels": int64 (B,), "indices": int64 (B,), "epoch": int,
    "augment": bool}; labels only where there are classes. Images leave as float in [-1, 1] once Lightning
    has called `on_after_batch_transfer`.

    source: where the items come from.
    kind: "images" or "sequences": what the source must give.
    image_size: one number for both sides, or (height, width), in pixels.
    batch_size: items of a step over all ranks together.
    num_classes: labels that the models were built for; 0 = none. Checked against the data.
    val_fraction: part of the training pool set aside for validation, 0..0.5.
    test_fraction: part set aside for the test where the source has no test split of its own.
    flip: mirror half of the training items left to right, by (seed, epoch, index).
    workers: processes that decode what does not fit in memory; None = one a core, at most 8.
    read_by_source: what the configuration passes to `source` by interpolation; each must be a field of it.
    minutes: the default of budget.minutes, which reads it here.

    After setup: num_items, classes, image_shape (C, H, W), num_frames (None for stills), fingerprint.
    """

    def __init__(
        self,
        source: Source,
        *,
        name: str,
        image_size: int | tuple[int, int],
        channels: int,
        batch_size: int,
        kind: Literal["images", "sequences"] = "images",
        num_classes: int = 0,
        val_fraction: float = 0.05,
        test_fraction: float = 0.1,
        flip: bool = False,
        seed: int = 0,
        workers: int | None = None,
        minutes: float | None = None,
        **read_by_source: object,
    ) -> None:
        super().__init__()
        if unread := read_by_source.keys() - _settings(source):
            raise TypeError(f"{type(source).__name__} reads no {', '.join(unread)}")
        height, width = check_sides(*((image_size, image_size) if isinstance(image_size, int) else image_size))
        if channels not in (1, 3):
            raise UserError("data.channels", channels, "1 or 3")
        self.source, self.name, self.kind = source, name, kind
        self.image_shape: ImageShape = (channels, height, width)
        self.batch_size, self.num_classes, self.seed, self.flip = batch_size, num_classes, seed, flip
        self.val_fraction, self.test_fraction = val_fraction, test_fraction
        self.workers = min(8, os.cpu_count() or 1) if workers is None else workers
        self.images_seen = 0
        self.rank, self.world_size = 0, 1
        self.num_items = 0
        self.classes: tuple[str, ...] = ()
        self.num_frames: int | None = None
        self.fingerprint: dict[str, Any] = {}
        self._splits: dict[int, Items] = {}

    def setup(self, stage: str | None = None) -> None:
        """Loads the pools that `stage` needs; a second call does nothing."""
        if self.trainer is not None:
            self.rank, self.world_size = self.trainer.global_rank, self.trainer.world_size
        if _TRAIN not in self._splits:
            self._load_train()
        if self.batch_size % self.world_size:
            raise UserError("data.batch_size", self.batch_size, f"a multiple of the {self.world_size} devices")
        if stage == "test" and _TEST not in self._splits:
            self._splits[_TEST] = self.source.load("test", self.image_shape)

    def _load_train(self) -> None:
        for key in ("val_fraction", "test_fraction"):
            if not 0 <= getattr(self, key) <= 0.5:
                raise UserError(f"data.{key}", getattr(self, key), "a part of the data, 0 to 0.5")
        pool = self.source.load("train", self.image_shape)
        if not self.source.own_test:
            pool, self._splits[_TEST] = carve(pool, self.test_fraction, Use.TEST)
        train, validation = carve(pool, self.val_fraction, Use.VALIDATION)
        self._check(train)
        self.num_items, self.classes = len(train), train.classes
        self.num_frames = train.shape[0] if len(train.shape) == 4 else None
        self.fingerprint = fingerprint(train, str(self.name))
        self._splits |= {_TRAIN: train, _VALIDATION: validation}

    def _check(self, train: Items) -> None:
        kind = "sequences" if len(train.shape) == 4 else "images"
        if kind != self.kind:
            raise UserError("data.kind", self.kind, f"{kind}, which is what data={self.name} holds")
        if self.num_classes and train.classes and self.num_classes != len(train.classes):
            raise UserError("data.num_classes", self.num_classes, f"{len(train.classes)}, as the data have, or 0")
        if (values := torch.Size(train.shape).numel()) > LARGEST_ITEM:
            expected = f"fewer frames: a clip of {LARGEST_ITEM:,} values at most, and this is {values:,}"
            raise UserError("data.num_frames", train.shape[0], expected)
        if len(train) < self.batch_size:
            expected = f"at most {len(train)}, the training items of {self.name}"
            hint = f"data.batch_size={1 << (len(train).bit_length() - 1)}" if len(train) else None
            raise UserError("data.batch_size", self.batch_size, expected, hint)

    def _placed(self, train: Items) -> Items:
        """The training items on the accelerator, where they fit: no copy to it then at each step."""
        device = self.trainer.strategy.root_device if self.trainer is not None else torch.device("cpu")
        size = len(train) * torch.Size(train.shape).numel()
        return train.to(device) if device.type == "cuda" and size <= _ON_DEVICE_BYTES else train

    def train_dataloader(self) -> Iterable[Batch]:
        """Endless; every pass starts at `images_seen`, as it is then."""
        order = TrainOrder(self.num_items, self.batch_size, self.seed, self.rank, self.world_size)
        self._splits[_TRAIN] = self._placed(self._splits[_TRAIN])
        return Batches(
            self._splits[_TRAIN],
            lambda: order.starting_at(self.images_seen),
            seed=self.seed,
            split=_TRAIN,
            augment=self.flip,
            workers=self.workers,
        )

    def val_dataloader(self) -> Iterable[Batch]:
        return self._evaluation(_VALIDATION)

    def test_dataloader(self) -> Iterable[Batch]:
        return self._evaluation(_TEST)

    def evenly_spaced(self, split: Literal["train", "test"], most: int) -> Iterable[Batch]:
        """At most `most` items of a split, at equal strides, as an evaluation sees them: none mirrored."""
        number = {"train": _TRAIN, "test": _TEST}[split]
        items = self._splits[number]
        indices = evenly_spaced_indices(len(items), min(most, len(items)))
        requests = [Request(part, epoch=0) for part in indices.split(self.batch_size)]
        return Batches(items, lambda: requests, _FROZEN_SEED, number, augment=False, workers=self.workers)

    def _evaluation(self, split: int) -> Batches:
        items = self._splits[split]
        order = EvaluationOrder(len(items), self.batch_size, self.rank, self.world_size)
        return Batches(items, lambda: order, _FROZEN_SEED, split, augment=False, workers=self.workers)

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int = 0) -> Batch:
        """uint8 to float in [-1, 1], mirrored where the batch is to be augmented."""
        images = batch["images"]
        if batch["augment"]:
            images = mirror(images, self.seed, batch["epoch"], batch["indices"])
        return batch | {"images": images.float().div_(127.5).sub_(1)}


def _settings(source: object) -> set[str]:
    """Names of the fields of a source and of the source inside it."""
    if not is_dataclass(source):
        return set()
    names = {field.name for field in fields(source)}
    return names.union(*(_settings(getattr(source, name)) for name in names))


def mirror(images: Tensor, seed: int, epoch: int, indices: Tensor) -> Tensor:
    """Left to right, each item (all frames of a clip together) or not by a hash of (seed, epoch, index)."""
    chosen = hash_words(Use.FLIP, seed, epoch, indices.to(images.device)) < 0
    return torch.where(chosen.view(-1, *[1] * (images.ndim - 1)), images.flip(-1), images)
