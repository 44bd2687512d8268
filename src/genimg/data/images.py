"""Many image files as items: in memory where they fit, from a cache, or decoded as they are asked for."""

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
from genimg.data.decode import Decoder, opened
from genimg.data.items import Items, Stored
from genimg.data.reading import Failures, read_each, reason, warn_of

log = logging.getLogger(__name__)

FEWEST = 8  # readable images; fewer cannot be split and learned from
IN_MEMORY_BYTES = 2 * 2**30  # decoded images up to this size are kept in memory


@dataclass(frozen=True)
class ImageFiles:
    """Files with one label each, or none (empty `labels` and `classes`)."""

    paths: Sequence[str]
    labels: Sequence[int] = ()
    classes: tuple[str, ...] = ()


def load_images(files: ImageFiles, decoder: Decoder, cache: Path | None) -> Items:
    """The readable files as items, in order. The others are listed in a warning.

    Raises UserError where fewer than FEWEST can be read.
    """
    shape = (len(files.paths), *decoder.shape)
    labels = torch.tensor(files.labels, dtype=torch.int64) if files.labels else None
    if cache is None and np.prod(shape, dtype=np.int64) > IN_MEMORY_BYTES:
        failures = _check_headers(files.paths)
        lazy = LazyImages(np.array(files.paths), decoder, labels, files.classes)
        return lazy.subset(_readable(files.paths, failures))
    if cache is None:
        array = np.empty(shape, np.uint8)
        failures = _decode_all(files.paths, decoder, array)
    else:
        entry = Cache(cache, key_of(files.paths, decoder))
        array, failures = entry.get(shape, lambda values: _decode_all(files.paths, decoder, values))
    return Stored(torch.from_numpy(array), labels, files.classes).subset(_readable(files.paths, failures))


@dataclass(frozen=True)
class LazyImages:
    """Images decoded at each fetch: for more than memory holds.

    A file whose header is sound but whose body is not gives its place to the next of the same label.
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
        for candidate in self._alike(index):
            path = str(self.paths[candidate])
            try:
                return self.decoder.read(path)
            except Exception as error:
                log.warning("%s; the next image takes its place", reason(path, error))
        raise UserError("data.root", None, "images that can be read", f"none like {self.paths[index]} can")

    def _alike(self, index: int) -> Iterator[int]:
        """`index`, then those after it that have its label, around the end."""
        for step in range(len(self)):
            other = (index + step) % len(self)
            if self.labels is None or self.labels[other] == self.labels[index]:
                yield other


def _decode_all(paths: Sequence[str], decoder: Decoder, out: np.ndarray) -> Failures:
    """Fills `out` (N, C, H, W) and gives what failed, by path."""

    def read(row: int) -> None:
        out[row] = decoder.read(paths[row])

    log.info("reading %d images", len(paths))
    return read_each(paths, read)


def _check_headers(paths: Sequence[str]) -> Failures:
    def check(row: int) -> None:
        with opened(paths[row]):
            pass

    return read_each(paths, check)


def _readable(paths: Sequence[str], failures: Failures) -> Tensor:
    """Rows of the files that can be read. Warns of the others; raises UserError where too few are left."""
    rows = [row for row, path in enumerate(paths) if path not in failures]
    warn_of(failures, len(paths), "images")
    if len(rows) < FEWEST:
        raise UserError("data.root", f"{len(rows)} readable images", f"at least {FEWEST}")
    return torch.tensor(rows, dtype=torch.int64)
