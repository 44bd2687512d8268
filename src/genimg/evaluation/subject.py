"""What is measured: a sampler and the images it was trained on, seen through an extractor."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from genimg.checkpoints.read import Checkpoint
from genimg.common.build import Builder
from genimg.common.errors import UserError
from genimg.common.run_config import replaced
from genimg.data.order import evenly_spaced_indices
from genimg.evaluation.features.extractor import Extractor
from genimg.sampling.sampler import Sampler

READ = 60_000  # images or frames of a split, at most: a classifier learns from them, copies are looked for in them
BYTES = 2 * 2**30  # of them in memory, at most


@dataclass(frozen=True)
class Images:
    """Of a data set, uint8: stills (N, C, H, W), or the clips (N, T, C, H, W) of one; labels int64 (N,)."""

    train: Tensor
    train_labels: Tensor | None
    test: Tensor
    test_labels: Tensor | None


@dataclass(frozen=True)
class Subject:
    """A run, as its figures need it.

    data: the fingerprint of the data set.
    num_images: samples, and as many test images or clips; the splits have them.
    cache: folder of what can be made again; None keeps nothing.
    """

    sampler: Sampler
    images: Images
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
        labels = self.images.test_labels
        if labels is None or not self.sampler.classes:
            return None
        return [self.sampler.classes[label] for label in labels[chosen].tolist()]  # a number could be a name too

    def kept(self, name: str, *what: object) -> Path | None:
        """A file of the cache, named after `name` and everything that what it holds depends on."""
        return None if self.cache is None else kept_file(self.cache, name, self.data, *what)


def load_data(checkpoint: Checkpoint, root: str | None, trust: Iterable[str]) -> Any:
    """The data that a checkpoint was trained on, its folder now at `root`. UserError where they are others now."""
    node = replaced(checkpoint["config"]["data"], "cache", False)  # a stranger's run says not where arrays are written
    if root is None:
        node = replaced(node, "download", False)  # nor where data are downloaded to
        if node.get("root") is not None and not Path(str(node["root"])).is_dir():
            raise UserError("root", node["root"], "the folder of the run's data", hint="where it lies now: root=FOLDER")
    elif "root" not in node:
        raise UserError("root", root, f"null: data={node['name']} has no folder")
    else:
        node = replaced(replaced(node, "download", True), "root", str(Path(root).expanduser()))
    try:
        data = Builder(trust).build(node, group="data")
        data.setup("test")
    except UserError as error:
        if error.key == "data.root":
            got = error.got
        elif root is not None:  # a setting of the run, which fitted the data it was trained on
            got = root
        else:
            raise
        raise UserError("root", got, "the folder of the run's data", hint="where it lies now: root=FOLDER") from error
    known = checkpoint["data"]["fingerprint"]
    if data.fingerprint != known:
        raise UserError(
            "root",
            f"{data.name}: {data.fingerprint['count']:,} images of another digest or shape",
            f"the data of the run: {known['count']:,} of shape {tuple(known['shape'])}",
        )
    return data


def read_images(data: Any) -> Images:
    """The training and the test split, each up to a bound of memory."""
    most = max(1, min(READ, BYTES // math.prod(data.image_shape)) // (data.num_frames or 1))
    return Images(*read_split(data, "train", most), *read_split(data, "test", most))


def read_split(data: Any, split: Literal["train", "test"], most: int) -> tuple[Tensor, Tensor | None]:
    """At most `most` images of one split at equal strides, and their labels; as in `Images`."""
    batches = list(data.evenly_spaced(split, most))
    labels = None if "labels" not in batches[0] else torch.cat([batch["labels"] for batch in batches])
    return torch.cat([batch["images"] for batch in batches]), labels


def kept_file(folder: Path, name: str, *what: object) -> Path:
    digest = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()
    return folder / f"{name}-{digest[:24]}.pt"


def others(total: int, count: int) -> Tensor:
    """The indices that `evenly_spaced_indices` leaves."""
    left = torch.ones(total, dtype=torch.bool)
    left[evenly_spaced_indices(total, count)] = False
    return left.nonzero().squeeze(1)


def too_few(asked: int, count: int, what: str) -> str:
    """The hint where too few are compared: more are there to be asked for, or the test split is too small."""
    more = "" if asked < count else "; a larger data.test_fraction in training gives it more"
    return f"the test split has {count:,} {what}{more}"
