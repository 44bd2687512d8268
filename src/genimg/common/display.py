"""Standard streams that never end a program: the terminal is only a display. No torch.

A pipe whose reader has exited, a closed terminal, a full disk under a redirected output, closed descriptors and an
encoding without the characters cost what is printed, never the run.
"""

from __future__ import annotations

import io
import os
import select
import sys
from typing import TextIO

from genimg.common.errors import UserError


class _Descriptor(io.FileIO):
    """An open descriptor that swallows what it cannot write. It stays open when the object is deleted."""

    def __init__(self, number: int) -> None:
        super().__init__(number, "w", closefd=False)
        self.failure: OSError | None = None  # of the last write that failed

    def write(self, data, /) -> int:
        try:
            while (written := super().write(data)) is None:  # a non-blocking descriptor whose reader is slow
                select.select([], [self], [])
            return written
        except OSError as error:
            self.failure = error
            return memoryview(data).nbytes


def protect_standard_streams() -> None:
    """Opens closed descriptors of 0 to 2, and makes `sys.stdout` and `sys.stderr` streams that never raise.

    Call it before a file is opened, which would take the number of a closed descriptor and receive what is printed.
    Characters that the encoding lacks are printed as escapes. Streams that are not the process's own stay as they are.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # it gets the lowest free number
    if sys.stdout is sys.__stdout__:
        sys.stdout = _protected(sys.stdout, 1)
    if sys.stderr is sys.__stderr__:
        sys.stderr = _protected(sys.stderr, 2)


def show(text: str) -> None:
    """Prints the whole output of a command. Raises UserError if it cannot be written; a reader may stop early."""
    sys.stdout.write(text)
    sys.stdout.flush()
    descriptor = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    failure = descriptor.failure if isinstance(descriptor, _Descriptor) else None
    if failure is not None and not isinstance(failure, BrokenPipeError):
        raise UserError("stdout", None, f"an output that can be written ({failure.strerror})")


def _protected(stream: TextIO | None, number: int) -> TextIO:
    """stream: the one that it replaces; None if its descriptor was closed."""
    if stream is not None:
        stream.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(_Descriptor(number)),
        encoding=stream.encoding if stream is not None else "utf-8",
        errors="backslashreplace",
        line_buffering=stream is None or bool(stream.line_buffering),
    )
