"""Files that appear whole or not at all."""

import errno
import fcntl
import json
import math
import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO

from genimg.common.errors import UserError


@contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """A new file to write; it takes the place of `path` in one step, after its bytes have reached the disk.

    A crash or a full disk at any moment leaves the older file as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the new name itself must reach the disk
    finally:
        os.close(folder)


@contextmanager
def report_write_errors(key: str, path: Path, what: str = "a folder", hint: str | None = None) -> Iterator[None]:
    """What cannot be written in the block, as on a full disk, is one message: UserError."""
    try:
        yield
    except OSError as error:
        raise UserError(key, path, f"{what} that can be written ({error.strerror or error})", hint) from error


def remove_unfinished(folder: Path) -> None:
    """Removes what a kill in the middle of `atomic_write` has left in a folder, which nobody writes into now."""
    for left in folder.glob(".*.tmp"):
        if re.fullmatch(r"\..+\.\d+\.tmp", left.name):
            with suppress(OSError):
                left.unlink()


@contextmanager
def hold_lock(lock: Path, key: str, seconds: float = 10) -> Iterator[list[int]]:
    """The file `lock`, and so its folder, for this process alone, and for those that inherit the files given here.

    The kernel frees it with the last of them, however that ends. UserError, of the key `key`, where another process has
    it and does not end so soon. On a file system without locks, or one that cannot be written, there is none.
    """
    try:
        file = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError:
        yield []
        return
    try:
        end = time.monotonic() + seconds
        if seconds and not _locked(file):
            print(f"waiting   {seconds:g} s at most, for another process in {lock.parent} to end", file=sys.stderr)
        while not _locked(file):
            if time.monotonic() > end:
                hint = "wait for its end, or stop that one"
                raise UserError(key, lock.parent, "a folder that no other process trains in", hint)
            time.sleep(0.1)
        yield [file]
    finally:
        os.close(file)


def _locked(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # no locks here
        return True
    return True


def append_text(path: Path, text: str) -> None:
    """`text` at the end of a file, all of it or, where the disk is full, nothing: OSError."""
    with open(path, "ab", buffering=0) as file:
        end = file.tell()
        try:
            data = text.encode()
            if file.write(data) < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        except OSError:
            with suppress(OSError):
                file.truncate(end)
            raise


def unused_path(folder: Path) -> Path:
    """`folder`, or with a number behind it where it is there already: 10-seed0, then 10-seed0-2."""
    names = (folder if number == 1 else folder.with_name(f"{folder.name}-{number}") for number in count(1))
    return next(path for path in names if not path.exists())


def check_empty(folder: Path, key: str = "out") -> Path:
    """`folder`, if there is nothing in it: what two commands wrote into one cannot be told apart. Else UserError."""
    if folder.is_file():
        raise UserError(key, folder, "a folder", hint="that is a file")
    if folder.is_dir() and any(folder.iterdir()):
        raise UserError(key, folder, "a new folder, or an empty one", hint="there is something in it already")
    return folder


def write_json(path: Path, content: Any) -> None:
    """As `atomic_write`, with null for what is not finite: JSON has no NaN."""
    with atomic_write(path) as file:
        file.write(json.dumps(_finite(content), indent=1, allow_nan=False).encode())


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
