"""Atomic writes, locks and checks of files and folders."""

import errno
import fcntl
import json
import math
import os
import re
import secrets
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO

from genimg.common.errors import UserError

_TOKEN_BYTES = 8  # random bytes in the name of a temporary file


@contextmanager
def atomic_write(path: Path, sync: bool = True) -> Iterator[BinaryIO]:
    """Opens a temporary file that replaces `path` atomically. A failure leaves the previous file unchanged.

    sync: whether to wait for the disk, so that even a crash of the machine leaves a complete file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_name(path)
    try:
        # O_EXCL: never through a link, or into a file, that somebody has put there
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666), "wb") as file:
            yield file
            file.flush()
            if sync:
                os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    if not sync:
        return
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the new name must reach the disk too
    finally:
        os.close(folder)


@contextmanager
def report_write_errors(key: str, path: Path, kind: str = "a folder", hint: str | None = None) -> Iterator[None]:
    """Raises UserError for an OSError in the block, for example on a full disk. `kind`: what `path` is."""
    try:
        yield
    except OSError as error:
        raise UserError(key, path, f"{kind} that can be written ({error.strerror or error})", hint) from error


def temporary_name(path: Path) -> Path:
    """Returns an unpredictable name beside `path`. Nothing can wait there for the program to write into it."""
    return path.with_name(f".{path.name}.{secrets.token_hex(_TOKEN_BYTES)}.tmp")


def remove_unfinished(folder: Path) -> None:
    """Removes the files with a `temporary_name` that an interruption has left. No process may be writing into it."""
    for path in folder.glob(".*.tmp"):
        unfinished = re.fullmatch(rf"\..+\.[0-9a-f]{{{2 * _TOKEN_BYTES}}}\.tmp", path.name)
        if unfinished and path.is_file() and not path.is_symlink():
            with suppress(OSError):
                path.unlink()


@contextmanager
def hold_lock(lock: Path, key: str, seconds: float = 10) -> Iterator[list[int]]:
    """Locks the file `lock`, and so its folder, for this process and the children that inherit the yielded descriptors.

    The kernel releases the lock when the last of these processes ends, in whatever way. On a file system without locks,
    or one that cannot be written, nothing is locked; neither is a link.

    Raises:
        UserError: with the key `key`, if another process still holds the lock after `seconds`.
    """
    try:
        file = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    except OSError:
        yield []
        return
    try:
        end = time.monotonic() + seconds
        if seconds and not _locked(file):
            print(f"waiting   up to {seconds:g} s for another process in {lock.parent} to end", file=sys.stderr)
        while not _locked(file):
            if time.monotonic() > end:
                hint = "wait until it ends, or stop it"
                raise UserError(key, lock.parent, "a folder in which no other process is training", hint)
            time.sleep(0.1)
        yield [file]
    finally:
        os.close(file)


def _locked(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True


def append_text(path: Path, text: str) -> None:
    """Appends `text` to a file completely, or raises OSError (for example on a full disk) and appends nothing.

    A link at `path` is an OSError too.
    """
    with open(path, "ab", buffering=0, opener=without_links) as file:
        end = file.tell()
        try:
            data = text.encode()
            if file.write(data) < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        except OSError:
            with suppress(OSError):
                file.truncate(end)
            raise


def without_links(path: str, flags: int) -> int:
    """Opener for `open`: a link at `path` is an OSError."""
    return os.open(path, flags | os.O_NOFOLLOW, 0o666)


def unused_path(folder: Path) -> Path:
    """Returns `folder` if it does not exist, otherwise with the first free number: 10-seed0, then 10-seed0-2."""
    names = (folder if number == 1 else folder.with_name(f"{folder.name}-{number}") for number in count(1))
    return next(path for path in names if not path.exists())


def check_empty(folder: Path, key: str = "out") -> Path:
    """Returns `folder` if it is missing or empty, otherwise raises UserError: output of two commands must not mix."""
    if folder.is_file():
        raise UserError(key, folder, "a folder", hint="it is a file")
    if folder.is_dir() and any(folder.iterdir()):
        raise UserError(key, folder, "a new folder, or an empty one", hint="it contains files")
    return folder


def write_json(path: Path, content: Any) -> None:
    """Writes JSON with `atomic_write`. Numbers that are not finite become null, because JSON has no NaN."""
    with atomic_write(path) as file:
        file.write(json.dumps(_finite(content), indent=1, allow_nan=False).encode())


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
