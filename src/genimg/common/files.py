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
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO

from genimg.common.errors import UserError
from genimg.common.text import printable


@contextmanager
def atomic_write(path: Path, sync: bool = True) -> Iterator[BinaryIO]:
    """Opens a temporary file that replaces `path` atomically. A failure leaves the previous file unchanged.

    The folder may be someone else's: the temporary file has a random name and is created, never opened through a link.

    sync: whether to wait for the disk, so that even a crash of the machine leaves a complete file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_name(path)
    try:
        with open(temporary, "xb") as file:
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


def temporary_name(path: Path) -> Path:
    """Returns an unpredictable name beside `path`, which `remove_unfinished` recognises."""
    return path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")


@contextmanager
def report_write_errors(key: str, path: Path, kind: str = "a folder", hint: str | None = None) -> Iterator[None]:
    """Raises UserError for an OSError in the block, for example on a full disk. `kind`: what `path` is."""
    try:
        yield
    except OSError as error:
        raise UserError(key, path, f"{kind} that can be written ({error.strerror or error})", hint) from error


def remove_unfinished(folder: Path) -> None:
    """Removes the files that an interrupted `atomic_write` has left in a folder. No process may be writing into it."""
    for path in folder.glob(".*.tmp"):
        if re.fullmatch(r"\..+\.[0-9a-f]{16}\.tmp", path.name):
            with suppress(OSError):
                path.unlink()


@contextmanager
def hold_lock(lock: Path, key: str, seconds: float = 10) -> Iterator[list[int]]:
    """Locks the file `lock`, and so its folder, for this process and the children that inherit the yielded descriptors.

    The kernel releases the lock when the last of these processes ends, in whatever way. On a file system without locks,
    or one that cannot be written, nothing is locked.

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
            folder = printable(str(lock.parent))
            print(f"waiting   up to {seconds:g} s for another process in {folder} to end", file=sys.stderr)
        while not _locked(file):
            if time.monotonic() > end:
                hint = "wait until it ends, or stop it"
                raise UserError(key, lock.parent, "a folder in which no other process is training", hint)
            time.sleep(0.1)
        yield [file]
    finally:
        os.close(file)


def is_locked(lock: Path) -> bool:
    """Whether a process holds the file `lock`, as `hold_lock` does. The file is not created."""
    try:
        file = os.open(lock, os.O_RDWR | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        return not _locked(file)
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

    A link at `path` is not followed.
    """
    with open(path, "ab", buffering=0, opener=open_no_link) as file:
        end = file.tell()
        try:
            data = text.encode(errors="surrogateescape")  # a file name may be any bytes
            if file.write(data) < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        except OSError:
            with suppress(OSError):
                file.truncate(end)
            raise


def open_no_link(path: str, flags: int) -> int:
    """An `opener` for `open` that does not follow a link at `path`."""
    return os.open(path, flags | os.O_NOFOLLOW, 0o666)


def unused_path(folder: Path) -> Path:
    """Returns `folder` if it does not exist, otherwise with the first free number: 10-seed0, then 10-seed0-2."""
    return next(path for path in _numbered(folder) if not path.exists())


def create_numbered(folder: Path, create: Callable[[Path], object]) -> Path:
    """Creates and returns the first of the names of `unused_path` that no other process has created.

    create: creates a folder; raises FileExistsError if it exists.
    """
    for path in _numbered(folder):
        with suppress(FileExistsError):
            create(path)
            return path
    raise AssertionError


def _numbered(folder: Path) -> Iterator[Path]:
    return (folder if number == 1 else folder.with_name(f"{folder.name}-{number}") for number in count(1))


def check_empty(folder: Path, key: str = "out", besides: str | None = None) -> Path:
    """Returns `folder` if it is missing or empty, otherwise raises UserError: output of two commands must not mix.

    besides: the name of a file that it may contain.
    """
    try:
        if folder.is_file():
            raise UserError(key, folder, "a folder", hint="it is a file")
        if folder.is_dir() and any(path.name != besides for path in folder.iterdir()):
            raise UserError(key, folder, "a new folder, or an empty one", hint="it contains files")
    except OSError as error:
        raise UserError(key, folder, f"a folder that can be read ({error.strerror})") from error
    return folder


def check_utf8(key: str, path: str | Path, expected: str, hint: str | None = None) -> None:
    """Raises UserError for a path that is not UTF-8. Python opens any path; libraries in C++ and Rust do not."""
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise UserError(key, printable(str(path)), f"{expected} with a path in UTF-8", hint) from error


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
