"""A UserError that a worker raised, passed on to the process that started it. Torch-free."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from genimg.common.errors import UserError

VARIABLE = "GENIMG_ERROR_FILE"  # the file, for workers whose starter reads it
_asked: ContextVar[Path | None] = ContextVar("asked", default=None)  # of this thread


@contextmanager
def asked_for(file: Path) -> Iterator[None]:
    """Workers that this thread starts meanwhile write an error to the file, which does not exist yet."""
    token = _asked.set(file)
    try:
        yield
    finally:
        _asked.reset(token)


def environment() -> dict[str, str]:
    """Variables for a worker that this thread starts."""
    file = _asked.get()
    return {} if file is None else {VARIABLE: str(file)}


def pass_on(error: UserError) -> None:
    """Writes the error for the process that started this one, if that asks for it. The first of several stays."""
    path = os.environ.get(VARIABLE)
    if path and not Path(path).exists():
        content = {name: getattr(error, name) for name in ("key", "got", "expected", "hint", "default_in")}
        Path(path).write_text(json.dumps(content, default=str), encoding="utf-8")


def read(file: Path) -> UserError:
    """The error in a file of `pass_on`."""
    return UserError(**json.loads(file.read_text(encoding="utf-8")))
