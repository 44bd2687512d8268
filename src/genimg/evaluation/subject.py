"""What is measured: a sampler and the pictures it was trained on, seen through an extractor."""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genimg.build import build
from genimg.checkpoints import Checkpoint
from genimg.errors import UserError
from genimg.features.extractor import Extractor
from genimg.files import whole
from genimg.sampler import Sampler

log = logging.getLogger(__name__)

DATA = ("genimg.data",)  # what a checkpoint's data are built of, besides what the user trusts
TRAINED_ON = 60_000  # training pictures that a classifier learns from and copies are looked for in
BYTES = 2 * 2**30  # of them in memory, at most


@dataclass(frozen=True)
class Pictures:
    """Of a data set, uint8: stills (N, C, H, W), or the clips (N, T, C, H, W) of one; labels int64 (N,)."""

    train: Tensor
    train_labels: Tensor | None
    test: Tensor
    test_labels: Tensor | None


@dataclass(frozen=True)
class Subject:
    """A run, as its figures need it.

    data: the fingerprint of the data set.
    num_images: samples and test pictures, at most.
    cache: folder of what can be made again; None keeps nothing.
    """

    sampler: Sampler
    pictures: Pictures
    extractor: Extractor
    data: dict[str, Any]
    num_images: int
    seed: int
    cache: Path | None

    @property
    def device(self) -> torch.device:
        return self.sampler.device

    def labels_of_test(self, chosen: Tensor) -> list[int] | None:
        """Those that a conditional model must be told; None for any other."""
        labels = self.pictures.test_labels
        return labels[chosen].tolist() if labels is not None and self.sampler.classes else None

    def kept(self, name: str, *what: object) -> Path | None:
        """A file of the cache, named after `name` and everything that what it holds depends on."""
        return None if self.cache is None else kept_file(self.cache, name, self.data, *what)


def load_data(checkpoint: Checkpoint, root: str | None, trust: Iterable[str]) -> Any:
    """The data that a checkpoint was trained on, its folder now at `root`. UserError where they are others now."""
    node = checkpoint["config"]["data"]
    data = build(node if root is None else _with_root(node, root), trust=(*DATA, *trust))
    data.setup("test")
    known = checkpoint["data"]["fingerprint"]
    if data.fingerprint != known:
        raise UserError(
            "root",
            f"{data.name}: {data.fingerprint['count']:,} pictures of another digest or shape",
            f"the data of the run: {known['count']:,} of shape {tuple(known['shape'])}",
        )
    return data


def _with_root(node: Any, root: str) -> Any:
    """A data node with every `root` in it replaced."""
    if not isinstance(node, dict):
        return node
    return {name: root if name == "root" else _with_root(value, root) for name, value in node.items()}


def read_pictures(data: Any) -> Pictures:
    """The test and the training split, each up to a bound of memory."""
    bytes_each = math.prod(data.image_shape) * (data.num_frames or 1)
    most = max(1, min(TRAINED_ON, BYTES // bytes_each))
    return Pictures(*data.spread("train", most), *data.spread("test", most))


def kept_file(folder: Path, name: str, *what: object) -> Path:
    digest = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()
    return folder / f"{name}-{digest[:24]}.pt"


def strides(total: int, count: int) -> Tensor:
    """`count` of `total` indices at equal strides."""
    return torch.arange(count) * total // count


def others(total: int, count: int) -> Tensor:
    """The indices that `strides` leaves."""
    left = torch.ones(total, dtype=torch.bool)
    left[strides(total, count)] = False
    return left.nonzero().squeeze(1)


def reference(subject: Subject, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Features of `count` test pictures, of as many training pictures, and of the other training pictures."""
    pictures, extractor = subject.pictures, subject.extractor
    kept = subject.kept("features", extractor.digest, count, len(pictures.train))
    if kept is not None:
        try:
            found = torch.load(kept, map_location="cpu", weights_only=True)
            return found["test"], found["floor"], found["train"]
        except Exception:  # missing, or damaged in one of torch's half a dozen ways: made again
            pass
    parts = (
        pictures.test[strides(len(pictures.test), count)],
        pictures.train[strides(len(pictures.train), count)],
        pictures.train[others(len(pictures.train), count)],
    )
    test, floor, train = (extractor(part, subject.device) for part in parts)
    if kept is not None:
        try:
            with whole(kept) as file:
                torch.save({"test": test, "floor": floor, "train": train}, file)
        except OSError as error:
            log.warning("could not keep the features in %s: %s", kept, error)
    return test, floor, train
