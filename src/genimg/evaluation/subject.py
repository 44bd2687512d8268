"""What is measured: a sampler and the pictures it was trained on, seen through an extractor."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genimg.build import build, packaged
from genimg.checkpoints import Checkpoint
from genimg.data.order import strides
from genimg.errors import UserError
from genimg.features.extractor import Extractor
from genimg.features.kept import keep, read
from genimg.sampler import Sampler
from genimg.saved_config import replaced

READ = 60_000  # pictures or frames of a split, at most: a classifier learns from them, copies are looked for in them
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

    def classes_of_test(self, chosen: Tensor) -> list[str] | None:
        """The names of the classes that a conditional model must be told; None for any other."""
        labels = self.pictures.test_labels
        if labels is None or not self.sampler.classes:
            return None
        return [self.sampler.classes[label] for label in labels[chosen].tolist()]  # a number could be a name too

    def kept(self, name: str, *what: object) -> Path | None:
        """A file of the cache, named after `name` and everything that what it holds depends on."""
        return None if self.cache is None else kept_file(self.cache, name, self.data, *what)


def load_data(checkpoint: Checkpoint, root: str | None, trust: Iterable[str]) -> Any:
    """The data that a checkpoint was trained on, its folder now at `root`. UserError where they are others now."""
    node = replaced(checkpoint["config"]["data"], "cache", False)  # a stranger's run says not where arrays are written
    if root is not None:
        if "root" not in node:
            raise UserError("root", root, f"null: data={node['name']} has no folder")
        node = replaced(node, "root", str(Path(root).expanduser()))
    elif node.get("root") is not None and not Path(str(node["root"])).is_dir():
        raise UserError("root", node["root"], "the folder of the run's data", hint="where it lies now: root=FOLDER")
    try:
        data = build(node, trust=(*packaged("data"), *trust))
        data.setup("test")
    except UserError as error:
        if error.key != "data.root":
            raise
        raise UserError(
            "root", error.got, "the folder of the run's data", hint="where it lies now: root=FOLDER"
        ) from error
    known = checkpoint["data"]["fingerprint"]
    if data.fingerprint != known:
        raise UserError(
            "root",
            f"{data.name}: {data.fingerprint['count']:,} pictures of another digest or shape",
            f"the data of the run: {known['count']:,} of shape {tuple(known['shape'])}",
        )
    return data


def read_pictures(data: Any) -> Pictures:
    """The test and the training split, each up to a bound of memory."""
    most = max(1, min(READ, BYTES // math.prod(data.image_shape)) // (data.num_frames or 1))
    return Pictures(*_whole(data.spread("train", most)), *_whole(data.spread("test", most)))


def _whole(batches: Iterable[dict[str, Any]]) -> tuple[Tensor, Tensor | None]:
    """All images and labels of the batches."""
    images, labels = zip(*((batch["images"], batch.get("labels")) for batch in batches), strict=True)
    return torch.cat(images), None if labels[0] is None else torch.cat(labels)


def kept_file(folder: Path, name: str, *what: object) -> Path:
    digest = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()
    return folder / f"{name}-{digest[:24]}.pt"


def others(total: int, count: int) -> Tensor:
    """The indices that `strides` leaves."""
    left = torch.ones(total, dtype=torch.bool)
    left[strides(total, count)] = False
    return left.nonzero().squeeze(1)


def reference(subject: Subject, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Features of `count` test pictures, of as many training pictures, and of the other training pictures."""
    pictures, extractor = subject.pictures, subject.extractor
    kept = subject.kept("features", extractor.digest, count, len(pictures.train)) if extractor.known else None
    if found := read(kept):
        return found["test"], found["floor"], found["train"]
    parts = (
        pictures.test[strides(len(pictures.test), count)],
        pictures.train[strides(len(pictures.train), count)],
        pictures.train[others(len(pictures.train), count)],
    )
    test, floor, train = (extractor(part, subject.device) for part in parts)
    keep({"test": test, "floor": floor, "train": train}, kept)
    return test, floor, train
