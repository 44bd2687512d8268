"""Datasets of other packages: of torchvision, of a LightningDataModule, and any with `__len__` and `__getitem__`."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from PIL import Image
from pytorch_lightning import LightningDataModule
from torch import Tensor

from genimg.common.errors import UserError, first_line
from genimg.common.hashing import hash_int
from genimg.data.decode import Background, Decoder, as_rgb
from genimg.data.images import IN_MEMORY_BYTES
from genimg.data.items import ImageShape, Items, Part, TensorItems
from genimg.data.resize import FITS, Fit, fit_images

log = logging.getLogger(__name__)

_IMAGE_NAMES = ("image", "images", "img", "pixel_values", "x")  # of an item that is a mapping
_LABEL_NAMES = ("label", "labels", "target", "y")
_PROBED = 64  # items from which the range of floating-point pixels is found
_REPEATED = 4  # draws of some of them, which show whether the transforms are random


@dataclass(frozen=True)
class MapStyle:
    """Images of a dataset with `__len__` and `__getitem__`, or of a LightningDataModule.

    An item is an image, a sequence (image, label, ...), or a mapping with one of the names above. An image is one of
    Pillow, a tensor (H, W) or (C, H, W), or an array (H, W) or (H, W, C): uint8, or floating-point in [0, 1] or
    [-1, 1]. It is fitted to the size of the model. The dataset's own transforms are applied; if they are random, the
    image is a function of the seed, the epoch and the index, as everywhere.

    train: the dataset or data module; an empty mapping is none.
    test: the dataset to evaluate with; an empty mapping is none: that of the data module, else a part of `train`.
    num_classes: number of labels to read, 0 for none.
    fit, background: as for ImageFolder.
    in_memory_bytes: more decoded bytes than this are fetched item by item.
    """

    train: Any
    test: Any = None
    num_classes: int = 0
    fit: Fit = "crop"
    background: Background = "white"
    in_memory_bytes: int = IN_MEMORY_BYTES
    parts: dict[Part, Any] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        if self.fit not in FITS:
            raise UserError("data.fit", self.fit, ", ".join(FITS))
        module = isinstance(self.train, LightningDataModule)
        self.parts.update(_of_module(self.train) if module else {"train": self.train})
        if self.test not in (None, {}):
            self.parts["test"] = self.test
        for part, dataset in self.parts.items():
            _check(dataset, part)

    @property
    def has_test_split(self) -> bool:
        return "test" in self.parts

    def load(self, part: Part, shape: ImageShape) -> Items:
        dataset = self.parts[part]
        decoder = Decoder(shape, self.fit, as_rgb(self.background))
        labels = read_labels(dataset, self.num_classes) if self.num_classes else None
        signed = is_signed(self.parts["train"])  # the same for both parts
        items = MapItems(dataset, decoder, signed, labels, self._classes(dataset))
        too_large = len(items) * torch.Size(shape).numel() > self.in_memory_bytes
        if too_large or is_random(dataset):
            return items
        log.info("reading %d images", len(items))
        return TensorItems(items.fetch(torch.arange(len(items)), draw=0), labels, items.classes)

    def _classes(self, dataset: Any) -> tuple[str, ...]:
        """The names of the labels: those that the dataset has, else numbers."""
        if not self.num_classes:
            return ()
        names: Any = getattr(dataset, "classes", None)
        known = isinstance(names, Sequence) and len(names) == self.num_classes
        return tuple(map(str, names)) if known else tuple(map(str, range(self.num_classes)))


@dataclass(frozen=True)
class MapItems:
    """Items of a dataset, fetched one by one.

    rows: int64 (N,), the item in the dataset of each; None = all in order.
    signed: whether floating-point pixels are in [-1, 1] rather than [0, 1].
    """

    dataset: Any
    decoder: Decoder
    signed: bool
    labels: Tensor | None = None
    classes: tuple[str, ...] = ()
    rows: Tensor | None = None
    groups: Tensor | None = None
    lazy: bool = True

    @property
    def shape(self) -> tuple[int, ...]:
        return self.decoder.shape

    def __len__(self) -> int:
        return len(self.dataset) if self.rows is None else len(self.rows)

    def fetch(self, indices: Tensor, draw: int) -> Tensor:
        rows = indices if self.rows is None else self.rows[indices]
        return torch.stack([self._read(row, draw) for row in rows.tolist()])

    def subset(self, indices: Tensor) -> MapItems:
        rows = indices if self.rows is None else self.rows[indices]
        return replace(self, rows=rows, labels=None if self.labels is None else self.labels[indices])

    def to(self, device: torch.device) -> MapItems:
        return self

    def _read(self, row: int, draw: int) -> Tensor:
        return self._converted(image_of(_item(self.dataset, row, draw)))

    def _converted(self, image: Any) -> Tensor:
        """An image of any kind as uint8 (C, H, W)."""
        if isinstance(image, Image.Image):
            return torch.from_numpy(np.ascontiguousarray(self.decoder.convert(image)))
        pixels = _as_chw(image)
        if pixels.ndim != 3 or 0 in pixels.shape:
            raise UserError("data.source.train", f"an item of shape {tuple(pixels.shape)}", "images " + _KINDS)
        if pixels.is_floating_point():
            if not bool(((pixels >= (-1.001 if self.signed else -0.001)) & (pixels <= 1.001)).all()):
                low, high = float(pixels.min()), float(pixels.max())
                least = -1 if self.signed else 0
                expected = f"from {least} to 1, as in the first items"
                raise UserError("data.source.train", f"pixels from {low:.3g} to {high:.3g}", expected)
            pixels = ((pixels + 1) * 127.5 if self.signed else pixels * 255).round().clamp(0, 255).byte()
        if pixels.dtype != torch.uint8 or pixels.shape[0] not in (1, 3):
            raise UserError(
                "data.source.train", f"{pixels.dtype} {tuple(pixels.shape)}", "grey or RGB images: " + _KINDS
            )
        (fitted,) = fit_images(pixels[None], self.decoder.shape, self.decoder.fit)
        return fitted


_KINDS = "of Pillow, uint8, or floating-point in [0, 1] or [-1, 1]"


def image_of(item: Any) -> Any:
    """The image of an item. Raises UserError if there is none."""
    if isinstance(item, Mapping):
        for name in _IMAGE_NAMES:
            if name in item:
                return item[name]
        raise UserError("data.source.train", f"an item with {', '.join(map(str, item))}", " or ".join(_IMAGE_NAMES))
    if isinstance(item, tuple | list):
        if not item:
            raise UserError("data.source.train", "an empty item", "(image, label)")
        return item[0]
    return item


def label_of(item: Any) -> int:
    """The label of an item. Raises UserError if there is none that is a whole number."""
    found: Any = None
    if isinstance(item, Mapping):
        found = next((item[name] for name in _LABEL_NAMES if name in item), None)
    elif isinstance(item, tuple | list) and len(item) > 1:
        found = item[1]
    try:
        return int(found)
    except (TypeError, ValueError, OverflowError):
        hint = "data.num_classes=0 for a dataset without labels"
        raise UserError("data.num_classes", f"an item whose label is {found!r:.40}", "a whole number", hint) from None


def read_labels(dataset: Any, num_classes: int) -> Tensor:
    """The labels of a dataset, int64 (N,): its `targets` or `labels` if it has them, else those of its items.

    Raises:
        UserError: for a label that is not from 0 to `num_classes` - 1.
    """
    known = next((getattr(dataset, n) for n in ("targets", "labels", "_labels") if hasattr(dataset, n)), None)
    try:
        found = torch.as_tensor(np.asarray(known))
        labels = found.long()
        if not torch.equal(labels.to(found.dtype), found):
            raise ValueError
    except (TypeError, ValueError):
        labels = torch.zeros(0)
    if known is None or labels.shape != (len(dataset),):
        labels = torch.tensor([label_of(_item(dataset, row)) for row in range(len(dataset))])
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= num_classes:
        raise UserError("data.num_classes", num_classes, f"more than {high}, the largest label; the least is {low}")
    return labels


def is_signed(dataset: Any) -> bool:
    """Whether floating-point images are in [-1, 1] rather than [0, 1].

    Raises:
        UserError: if they are in neither.
    """
    images = [image_of(_item(dataset, row)) for row in range(0, len(dataset), max(1, len(dataset) // _PROBED))]
    floats = [x for x in (_as_chw(i) for i in images if not isinstance(i, Image.Image)) if x.is_floating_point()]
    if not floats:
        return False
    low, high = min(float(x.min()) for x in floats), max(float(x.max()) for x in floats)
    if low < -1.001 or high > 1.001:
        hint = "torchvision.transforms.ToTensor() gives [0, 1]; remove a Normalize with other statistics"
        raise UserError("data.source.train", f"pixels from {low:.3g} to {high:.3g}", "images " + _KINDS, hint)
    return low < -0.001


def is_random(dataset: Any) -> bool:
    """Whether an item takes random numbers, or differs from draw to draw."""
    rows = sorted({0, len(dataset) // 2, len(dataset) - 1})
    for row in rows:
        with _seeded(0):
            before = _drawn_numbers()
            dataset[row]
            if _drawn_numbers() != before:
                return True
        first, *others = (_drawn(dataset, row, draw) for draw in range(_REPEATED))
        if any(one.shape != first.shape or not torch.equal(one, first) for one in others):
            return True
    return False


def _drawn(dataset: Any, row: int, draw: int) -> Tensor:
    image = image_of(_item(dataset, row, draw))
    return torch.from_numpy(np.array(image)) if isinstance(image, Image.Image) else _as_chw(image)


def _drawn_numbers() -> tuple[bytes, object, bytes, int]:
    """The states of the generators of torch, Python and numpy."""
    numbers: Any = np.random.get_state()  # noqa: NPY002
    return torch.get_rng_state().numpy().tobytes(), random.getstate(), numbers[1].tobytes(), int(numbers[2])


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seeds the generators of torch, numpy and Python inside, and restores their states."""
    states = random.getstate(), np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002  the generator that transforms of other packages use
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])  # noqa: NPY002


def _as_chw(image: Any) -> Tensor:
    """A tensor or an array as a tensor (C, H, W)."""
    if isinstance(image, Tensor):
        return image[None] if image.ndim == 2 else image
    try:
        array = torch.from_numpy(np.ascontiguousarray(image))
    except (TypeError, ValueError) as error:
        raise UserError("data.source.train", f"{image!r:.60}", "images " + _KINDS) from error
    if array.ndim == 2:
        return array[None]
    return array.permute(2, 0, 1) if array.ndim == 3 and array.shape[2] in (1, 3, 4) else array


def _item(dataset: Any, row: int, draw: int = 0) -> Any:
    """An item, whose transforms draw the same random numbers for the same draw and row.

    Raises:
        UserError: for every exception that the code of another package raises.
    """
    with _seeded(hash_int(draw, row)):
        try:
            return dataset[row]
        except UserError:
            raise
        except Exception as error:
            expected = f"an item that can be read: {first_line(error)}"
            raise UserError("data.source.train", f"item {row}", expected) from error


def _check(dataset: Any, part: Part) -> None:
    """Raises UserError for what is no dataset."""
    try:
        size = len(dataset) if hasattr(dataset, "__getitem__") and not isinstance(dataset, str | Mapping) else 0
    except Exception:
        size = 0
    if size:
        return
    got = type(dataset).__name__
    if isinstance(dataset, Mapping):
        got = "a mapping without _target_" if dataset else "nothing"
    expected = "a dataset with __len__ and __getitem__ that is not empty, or a LightningDataModule"
    hint = f"+data.source.{part}._target_=torchvision.datasets.Flowers102, and its arguments"
    raise UserError(f"data.source.{part}", got, expected, hint)


def _of_module(module: LightningDataModule) -> dict[Part, Any]:
    """The datasets of a data module: that of its training loader, and of its test loader if it has one.

    Raises:
        UserError: for every exception that the module raises.
    """
    try:
        module.prepare_data()
        module.setup("fit")
        found: dict[Part, Any] = {"train": module.train_dataloader().dataset}
        if type(module).test_dataloader is not LightningDataModule.test_dataloader:
            module.setup("test")
            if (test := getattr(module.test_dataloader(), "dataset", None)) is not None:
                found["test"] = test
    except Exception as error:
        expected = f"a data module that can be set up: {first_line(error)}"
        raise UserError("data.source.train", type(module).__name__, expected) from error
    return found
