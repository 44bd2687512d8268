"""The data module: splits, batches, mirroring and normalisation of the items of a source.

A source is any class with `has_test_split` and `load(part, shape) -> Items`, see `genimg.data.items.Source`. A
user-defined one usually returns `TensorItems(images, labels, classes=names)` with uint8 images (N, C, H, W).
"""

import os
from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from typing import Any, Literal

import torch
from pytorch_lightning import LightningDataModule
from torch import Tensor

from genimg.common.errors import UserError
from genimg.common.hashing import Use, hash_int, hash_words
from genimg.common.limits import LARGEST_ITEM, check_sides
from genimg.data.items import ImageShape, Items, Source, fingerprint, require_source, with_actions
from genimg.data.loader import Batch, Batches
from genimg.data.order import TrainOrder, evaluation_requests, evenly_spaced_indices

_TRAIN, _VALIDATION, _TEST = 0, 1, 2
_EVALUATION_SEED = 0  # validation and test clips do not depend on the seed of the run
_ON_DEVICE_BYTES = 2 * 2**30  # training data up to this size are kept on the GPU


class GenerativeData(LightningDataModule):
    """Batches of the items of a source.

    A batch is {"images": uint8 (B, [T,] C, H, W), "labels": int64 (B,), "actions": int64 (B, T - 1), "indices": int64
    (B,), "epoch": int, "augment": bool}, with labels only if there are classes, and actions only of clips that have
    them. After `on_after_batch_transfer`, images are float32 in [-1, 1].

    Args:
        source: origin of the items.
        kind: "images" or "sequences"; the items of the source must match.
        image_size: pixels of both sides, or (height, width).
        channels: 1 (grey) or 3 (RGB).
        batch_size: items of a batch on all ranks together. A step has `batches_per_step` of them.
        given_frames: frames of a clip that a sequence model is given, fewer than a clip has.
        num_classes: number of labels that the model is built for, compared with the data; 0 = unconditional.
        num_actions: number of actions of the clips, compared with the data if their actions are read; 0 = none.
        val_fraction: fraction of the training items set aside for validation, 0 to 0.5.
        limit: training items that are used, chosen at random: a number of at least 1, or a share; None = all.
        test_fraction: fraction set aside for the test if the source has no test split, 0 to 0.5.
        flip: whether half of the training items are mirrored, as a function of (seed, epoch, index).
        workers: processes that decode lazy items; None = one per core, at most 8.
        minutes: not used here; the default of budget.minutes refers to it.
        source_settings: not used here; the configuration of `source` refers to them. Each must be one of its fields.

    After `setup`: num_items, classes, image_shape (C, H, W), num_frames (None for images), fingerprint; actions, the
    names, and action_shares, float32 (num_actions,), how often each occurs (None without actions).
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
        given_frames: int = 1,
        num_classes: int = 0,
        num_actions: int = 0,
        val_fraction: float = 0.05,
        limit: float | None = None,
        test_fraction: float = 0.1,
        flip: bool = False,
        seed: int = 0,
        workers: int | None = None,
        minutes: float | None = None,
        **source_settings: object,
    ) -> None:
        super().__init__()
        require_source("source", source)
        if unknown := source_settings.keys() - _field_names(source):
            raise TypeError(f"{type(source).__name__} has no field {', '.join(unknown)}")
        height, width = check_sides(*((image_size, image_size) if isinstance(image_size, int) else image_size))
        if channels not in (1, 3):
            raise UserError("data.channels", channels, "1 or 3")
        self.source, self.name, self.kind = source, name, kind
        self.image_shape: ImageShape = (channels, height, width)
        self.given_frames = given_frames
        self.batch_size, self.num_classes, self.seed, self.flip = batch_size, num_classes, seed, flip
        self.num_actions = num_actions
        self.val_fraction, self.test_fraction, self.limit = val_fraction, test_fraction, limit
        self.workers = min(8, os.cpu_count() or 1) if workers is None else workers
        self.batches_per_step = 1  # set before the first batch
        self.images_seen = 0
        self.rank, self.world_size = 0, 1
        self.num_items = 0
        self.classes: tuple[str, ...] = ()
        self.num_frames: int | None = None
        self.actions: tuple[str, ...] = ()
        self.action_shares: Tensor | None = None
        self.fingerprint: dict[str, Any] = {}
        self._splits: dict[int, Items] = {}

    @property
    def step_size(self) -> int:
        """Training items of a step on all ranks together."""
        return self.batch_size * self.batches_per_step

    def setup(self, stage: str | None = None) -> None:
        """Loads the splits that `stage` needs, once."""
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
                raise UserError(f"data.{key}", getattr(self, key), "a fraction of the data, 0 to 0.5")
        train = self.source.load("train", self.image_shape)
        if not self.source.has_test_split:
            train, self._splits[_TEST] = split_items(train, self.test_fraction, Use.TEST)
        train, validation = split_items(train, self.val_fraction, Use.VALIDATION)
        if self.limit is not None:
            if self.limit > 1 and self.limit % 1:
                raise UserError("data.limit", self.limit, "a number of items, or a share below 1")
            share = self.limit if self.limit < 1 else min(1.0, self.limit / len(train))
            train = split_items(train, share, Use.LIMIT)[1]
        self._check(train)
        self.num_items, self.classes = len(train), train.classes
        self.num_frames = train.shape[0] if len(train.shape) == 4 else None
        if (active := with_actions(train)) is not None:
            self.actions = active.action_names
            counts = active.actions_of(torch.arange(len(train))).flatten().bincount(minlength=len(self.actions))
            self.action_shares = counts / counts.sum()
        self.fingerprint = fingerprint(train, str(self.name))
        self._splits |= {_TRAIN: train, _VALIDATION: validation}

    def _check(self, train: Items) -> None:
        kind = "sequences" if len(train.shape) == 4 else "images"
        if kind != self.kind:
            raise UserError("data.kind", self.kind, f"{kind}, the kind of data={self.name}")
        if self.num_classes and train.classes and self.num_classes != len(train.classes):
            expected = f"{len(train.classes)}, the number of classes of the data, or 0"
            raise UserError("data.num_classes", self.num_classes, expected)
        if (active := with_actions(train)) is not None and self.num_actions != len(active.action_names):
            expected = f"{len(active.action_names)}, the number of actions of the data"
            raise UserError("data.num_actions", self.num_actions, expected)
        if kind == "sequences" and not 1 <= self.given_frames < train.shape[0]:
            expected = f"1 to {train.shape[0] - 1}, fewer than data.num_frames"
            raise UserError("data.given_frames", self.given_frames, expected)
        if (values := torch.Size(train.shape).numel()) > LARGEST_ITEM:
            expected = f"fewer frames: a clip has at most {LARGEST_ITEM:,} values, and this one has {values:,}"
            raise UserError("data.num_frames", train.shape[0], expected)
        if len(train) < self.step_size:
            limited = "" if self.limit is None else f" with data.limit={self.limit:g}"
            expected = f"at most {len(train)}, the number of training items of {self.name}{limited}"
            if self.batch_size <= len(train):
                got = f"{self.batches_per_step} batches of {self.batch_size}"
                raise UserError("trainer.accumulate_grad_batches", got, f"{expected}, in a step")
            hint = f"data.batch_size={1 << (len(train).bit_length() - 1)}" if len(train) else None
            raise UserError("data.batch_size", self.batch_size, expected, hint)

    def _on_device(self, train: Items) -> Items:
        """Moves the training items to the GPU if they fit, so that a step needs no copy."""
        device = self.trainer.strategy.root_device if self.trainer is not None else torch.device("cpu")
        size = len(train) * torch.Size(train.shape).numel()
        return train.to(device) if device.type == "cuda" and size <= _ON_DEVICE_BYTES else train

    def train_dataloader(self) -> Iterable[Batch]:
        """Batches without end. Each pass starts at the current value of `images_seen`."""
        order = TrainOrder(self.num_items, self.step_size, self.seed, self.rank, self.world_size)
        self._splits[_TRAIN] = self._on_device(self._splits[_TRAIN])
        return Batches(
            self._splits[_TRAIN],
            lambda: order.starting_at(self.images_seen),
            seed=self.seed,
            split=_TRAIN,
            augment=self.flip,
            workers=self.workers,
        )

    def val_dataloader(self) -> Iterable[Batch]:
        """All held-out items, on every rank: rank 0 alone validates, and the items do not depend on the devices."""
        return self._evaluation(_VALIDATION)

    def test_dataloader(self) -> Iterable[Batch]:
        """All test items, on every rank."""
        return self._evaluation(_TEST)

    def evenly_spaced(self, split: Literal["train", "validation", "test"], most: int) -> Iterable[Batch]:
        """Batches of at most `most` evenly spaced items of a split, not mirrored, the same on every rank."""
        return self._evaluation({"train": _TRAIN, "validation": _VALIDATION, "test": _TEST}[split], most)

    def _evaluation(self, split: int, most: int | None = None) -> Batches:
        items = self._splits[split]
        chosen = evenly_spaced_indices(len(items), len(items) if most is None else min(most, len(items)))
        requests = evaluation_requests(chosen, self.batch_size)
        return Batches(items, lambda: requests, _EVALUATION_SEED, split, augment=False, workers=self.workers)

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int = 0) -> Batch:
        """Mirrors the images if the batch is augmented, and converts uint8 to float32 in [-1, 1]."""
        images = batch["images"]
        if batch["augment"]:
            images = mirror(images, self.seed, batch["epoch"], batch["indices"])
        return batch | {"images": images.float().div_(127.5).sub_(1)}


def split_items(items: Items, fraction: float, use: Use) -> tuple[Items, Items]:
    """Returns (rest, part): a random `fraction` of the groups of items, at least one group, is set aside as the part.

    The split is a function of the data and `use` alone: runs with different seeds are compared on the same images.
    Items of one group (windows of one clip) stay together; without groups, each item is a group.
    """
    if fraction == 0:
        return items, items.subset(torch.zeros(0, dtype=torch.int64))
    groups = torch.arange(len(items)) if items.groups is None else items.groups
    names = groups.unique()
    generator = torch.Generator().manual_seed(hash_int(use, len(names)))
    count = max(1, round(len(names) * fraction))
    chosen = torch.isin(groups, names[torch.randperm(len(names), generator=generator)[:count]])
    return items.subset((~chosen).nonzero().flatten()), items.subset(chosen.nonzero().flatten())


def mirror(images: Tensor, seed: int, epoch: int, indices: Tensor) -> Tensor:
    """Mirrors about half of the items left to right, chosen by a hash of (seed, epoch, index).

    All frames of a clip are treated alike.
    """
    chosen = hash_words(Use.FLIP, seed, epoch, indices.to(images.device)) < 0
    return torch.where(chosen.view(-1, *[1] * (images.ndim - 1)), images.flip(-1), images)


def _field_names(source: object) -> set[str]:
    """Names of the fields of a source, and of the sources in its fields."""
    if not is_dataclass(source):
        return set()
    names = {field.name for field in fields(source)}
    return names.union(*(_field_names(getattr(source, name)) for name in names))
