"""Image files as items: decoded into memory or a cache if they fit, otherwise decoded when they are fetched."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from genimg.common.errors import UserError
from genimg.data.cache import Cache, key_of
from genimg.data.decode import Decoder, open_image
from genimg.data.items import Items, TensorItems
from genimg.data.reading import Failures, read_each, reason, warn_about_failures

log = logging.getLogger(__name__)

FEWEST = 8  # readable images; fewer cannot be split and learned from
IN_MEMORY_BYTES = 2 * 2**30  # decoded images up to this size are kept in memory


@dataclass(frozen=True)
class ImageFiles:
    """Files with one label each, or without labels (empty `labels` and `classes`)."""

    paths: Sequence[str]
    labels: Sequence[int] = ()
    classes: tuple[str, ...] = ()


def load_images(
    files: ImageFiles, decoder: Decoder, cache: Path | None, in_memory_bytes: int = IN_MEMORY_BYTES
) -> Items:
    """Returns the readable files as items, in order. Warnings list the other files, and tell if all images are alike.

    Args:
        cache: folder of decoded images; None = no cache.
        in_memory_bytes: without a cache, more decoded bytes than this are decoded when they are fetched.

    Raises:
        UserError: if fewer than FEWEST files can be read, or no file of a class.
    """
    shape = (len(files.paths), *decoder.shape)
    labels = torch.tensor(files.labels, dtype=torch.int64) if files.labels else None
    if cache is None and np.prod(shape, dtype=np.int64) > in_memory_bytes:
        failures = _check_headers(files.paths)
        lazy = LazyImages(np.array(files.paths), decoder, labels, files.classes)
        return lazy.subset(_readable(files, failures))

    def fill(array: np.ndarray) -> Failures:
        log.info("reading %d images", len(files.paths))
        return decode_all(files.paths, decoder, array)

    if cache is None:
        array = np.empty(shape, np.uint8)
        failures = fill(array)
    else:
        array, failures = Cache(cache, key_of(files.paths, decoder)).get(shape, fill)
    rows = _readable(files, failures)
    if all(np.array_equal(array[row], array[rows[0]]) for row in rows.tolist()):  # stops at the first that differs
        log.warning("all %d images are alike: a model can learn nothing but this image", len(rows))
    return TensorItems(torch.from_numpy(array), labels, files.classes).subset(rows)


@dataclass(frozen=True)
class LazyImages:
    """Images that are decoded at each fetch, for data that do not fit into memory.

    A file that turns out to be damaged is replaced by the next file with the same label.
    """

    paths: np.ndarray
    decoder: Decoder
    labels: Tensor | None = None
    classes: tuple[str, ...] = ()
    groups: Tensor | None = None
    lazy: bool = True

    @property
    def shape(self) -> tuple[int, ...]:
        return self.decoder.shape

    def __len__(self) -> int:
        return len(self.paths)

    def fetch(self, indices: Tensor, draw: int) -> Tensor:
        return torch.from_numpy(np.stack([self._read(index) for index in indices.tolist()]))

    def subset(self, indices: Tensor) -> LazyImages:
        labels = None if self.labels is None else self.labels[indices]
        return replace(self, paths=self.paths[indices.numpy()], labels=labels)

    def to(self, device: torch.device) -> LazyImages:
        return self

    def _read(self, index: int) -> np.ndarray:
        for candidate in self._candidates(index):
            path = str(self.paths[candidate])
            try:
                return self.decoder.read(path)
            except Exception as error:
                log.warning("%s; the next image replaces it", reason(path, error))
        hint = f"no image with the label of {self.paths[index]} can be read"
        raise UserError("data.root", None, "images that can be read", hint)

    def _candidates(self, index: int) -> Iterator[int]:
        """`index`, then the following items with the same label, cyclically."""
        for step in range(len(self)):
            other = (index + step) % len(self)
            if self.labels is None or self.labels[other] == self.labels[index]:
                yield other


def decode_all(paths: Sequence[str], decoder: Decoder, out: np.ndarray) -> Failures:
    """Decodes each file into its row of `out`, uint8 (N, C, H, W), and returns the files that failed."""

    def read(row: int) -> None:
        out[row] = decoder.read(paths[row])

    return read_each(paths, read)


def _check_headers(paths: Sequence[str]) -> Failures:
    def check(row: int) -> None:
        with open_image(paths[row]):
            pass

    return read_each(paths, check)


def _readable(files: ImageFiles, failures: Failures) -> Tensor:
    """Returns the rows of the readable files and warns about the others. Raises UserError if too few are left."""
    rows = [row for row, path in enumerate(files.paths) if path not in failures]
    warn_about_failures(failures, len(files.paths), "images")
    if len(rows) < FEWEST:
        raise UserError("data.root", f"{len(rows)} readable images", f"at least {FEWEST} readable images")
    if files.labels:
        read = {files.labels[row] for row in rows}
        missing = [name for label, name in enumerate(files.classes) if label not in read]
        if missing:
            got = f"no readable image of class {', '.join(missing)}"
            raise UserError("data.root", got, "a readable image of each class", hint="remove the folder")
    return torch.tensor(rows, dtype=torch.int64)
