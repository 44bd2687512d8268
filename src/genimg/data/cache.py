"""A cache of decoded arrays on disk: a second start maps one file into memory instead of decoding all files."""

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from genimg.common.files import report_write_errors, write_json
from genimg.common.reading import read_json
from genimg.data.reading import Failures


def user_folder() -> Path:
    """The user's cache folder of this program: files that can be computed or downloaded again."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "genimg-train"


def cache_folder(cache: bool | str, name: str) -> Path | None:
    """Returns the folder of a `cache` key: None for false, `name` in the user's cache folder for true, or the path."""
    if isinstance(cache, bool):
        return user_folder() / name if cache else None
    return Path(cache).expanduser()


def key_of(paths: Sequence[str], settings: object) -> str:
    """Returns the sha256 of the files' names, sizes and modification times, and of the settings of their decoding."""
    digest = hashlib.sha256(repr(settings).encode())
    for path in paths:
        state = os.stat(path)
        digest.update(f"\n{path}\0{state.st_size}\0{state.st_mtime_ns}".encode(errors="surrogateescape"))
    return digest.hexdigest()


@dataclass(frozen=True)
class Cache:
    """One array, and the files that could not be decoded, stored in `folder` under `key`."""

    folder: Path
    key: str

    def get(self, shape: tuple[int, ...], fill: Callable[[np.ndarray], Failures]) -> tuple[np.ndarray, Failures]:
        """Returns the array, uint8 of `shape`, and the failures; `fill` computes both if they are not stored.

        The array is memory-mapped; changes to it are private to the process. Its file appears complete or not at all,
        and after the file of the failures.
        """
        array, failures = self.folder / f"{self.key}.npy", self.folder / f"{self.key}.json"
        if not array.is_file():
            with report_write_errors("data.cache", self.folder, hint="data.cache=FOLDER, or false"):
                self._write(array, failures, shape, fill)
        known: dict[str, Any] = read_json(failures)
        return np.load(array, mmap_mode="c"), known

    def _write(
        self, array: Path, failures: Path, shape: tuple[int, ...], fill: Callable[[np.ndarray], Failures]
    ) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        partial = self.folder / f".{self.key}.{os.getpid()}"
        try:
            values = np.lib.format.open_memmap(partial, mode="w+", dtype=np.uint8, shape=shape)
            failed = fill(values)
            values.flush()
            del values
            write_json(failures, failed)
            os.replace(partial, array)
        finally:
            partial.unlink(missing_ok=True)
