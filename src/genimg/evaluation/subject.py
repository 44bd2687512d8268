"""The subject of an evaluation: a sampler, the images it was trained on, and a feature extractor."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypedDict

import torch
from torch import Tensor

from genimg.checkpoints.read import Checkpoint
from genimg.common.build import Builder
from genimg.common.errors import UserError
from genimg.common.nodes import replaced
from genimg.data.order import evenly_spaced_indices
from genimg.evaluation.cache import cache_file
from genimg.evaluation.features.extractor import Extractor
from genimg.sampling.sampler import Sampler

_MOST_FRAMES = 60_000  # images or frames per split: they train a classifier and are searched for copies
_MOST_BYTES = 2 * 2**30  # per split


@dataclass(frozen=True)
class Images:
    """A data set in memory, uint8: images (N, C, H, W) or clips (N, T, C, H, W); labels int64 (N,).

    test_actions: int64 (N, T - 1), if the clips have actions.
    """

    train: Tensor
    train_labels: Tensor | None
    test: Tensor
    test_labels: Tensor | None
    test_actions: Tensor | None = None

    @property
    def reserved(self) -> Tensor:
        """Indices of the training images for floors, on which no extractor is trained.

        Evenly spaced; as many as test images, but at most half of the training images.
        """
        return evenly_spaced_indices(len(self.train), min(len(self.test), len(self.train) // 2))

    def floor(self, count: int) -> Tensor:
        """Indices of `count` of the reserved training images, evenly spaced."""
        return self.reserved[evenly_spaced_indices(len(self.reserved), count)]


class Drawing(TypedDict):
    """How samples are drawn: arguments of `Sampler.stream`."""

    seed: int
    temperature: float
    guidance: float | None
    truncation: float | None
    truncation_psi: float | None


@dataclass(frozen=True)
class Subject:
    """A trained model with all that its metrics need.

    Attributes:
        drawing: how the samples are drawn.
        data: fingerprint of the data set.
        num_images: number of samples, and of test images or clips; both splits have as many.
        cache: folder of intermediate results; None caches nothing.
    """

    sampler: Sampler
    images: Images
    extractor: Extractor
    data: dict[str, Any]
    num_images: int
    drawing: Drawing
    cache: Path | None

    @property
    def device(self) -> torch.device:
        return self.sampler.device

    def class_names(self, chosen: Tensor) -> list[str] | None:
        """The class names of test images, for a conditional model; None for an unconditional one."""
        labels = self.images.test_labels
        if labels is None or not self.sampler.classes:
            return None
        return [self.sampler.classes[label] for label in labels[chosen].tolist()]  # names: a name could be a number too

    def cache_file(self, name: str, *key: object) -> Path | None:
        """The cache file for `name`, this data set and `key`: everything that its content depends on."""
        return None if self.cache is None else cache_file(self.cache, name, self.data, *key)


def load_data(checkpoint: Checkpoint, root: str | None, trust: Iterable[str]) -> Any:
    """Returns the data module of a checkpoint, with its folder at `root` if given.

    Raises:
        UserError: if the data are missing, or differ from the data of the run.
    """
    node = replaced(checkpoint["config"]["data"], "cache", False)  # an untrusted run may not choose where to write
    expected, hint = "the folder of the run's data", "its present location: root=FOLDER"
    if root is None:
        node = replaced(node, "download", False)
        if node.get("root") is not None and not Path(str(node["root"])).is_dir():
            raise UserError("root", node["root"], expected, hint)
    elif "root" not in node:
        raise UserError("root", root, f"null: data={node['name']} has no folder")
    else:
        node = replaced(replaced(node, "download", True), "root", str(Path(root).expanduser()))
    try:
        data = Builder(trust).build(node, group="data")
        data.setup("test")
    except UserError as error:
        if error.key != "data.root" and root is None:
            raise
        got = error.got if error.key == "data.root" else root  # a setting of the run does not fit this folder
        raise UserError("root", got, expected, hint) from error
    known = checkpoint["data"]["fingerprint"]
    if data.fingerprint != known:
        raise UserError(
            "root",
            f"{data.name}: {data.fingerprint['count']:,} images of another digest or shape",
            f"the data of the run: {known['count']:,} of shape {tuple(known['shape'])}",
        )
    return data


def read_images(data: Any) -> Images:
    """Reads the training and the test split, each up to a limit of memory."""
    most = max(1, min(_MOST_FRAMES, _MOST_BYTES // math.prod(data.image_shape)) // (data.num_frames or 1))
    train, test = (read_split(data, split, most) for split in ("train", "test"))
    return Images(train["images"], train.get("labels"), test["images"], test.get("labels"), test.get("actions"))


def read_split(data: Any, split: Literal["train", "test"], most: int) -> dict[str, Tensor]:
    """Reads at most `most` evenly spaced images of a split, with their labels and actions; types as in `Images`."""
    batches = list(data.evenly_spaced(split, most))
    names = [name for name in ("images", "labels", "actions") if name in batches[0]]
    return {name: torch.cat([batch[name] for batch in batches]) for name in names}


def complement(total: int, chosen: Tensor) -> Tensor:
    """The indices of `total` that are not among `chosen`."""
    left = torch.ones(total, dtype=torch.bool)
    left[chosen] = False
    return left.nonzero().squeeze(1)


def too_few_hint(requested: int, count: int, unit: str) -> str:
    """The hint of an error about too few compared images: request more, or train with a larger test split."""
    more = "" if requested < count else "; a larger data.test_fraction in training adds more"
    return f"the test split has {count:,} {unit}{more}"
