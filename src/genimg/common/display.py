"""Standard streams that never end a program: the terminal is only a display. No torch.

A pipe whose reader has exited, a closed or frozen terminal, a full disk under a redirected output, closed descriptors
and an encoding without the characters cost what is printed, never the run.
"""

from __future__ import annotations

import io
import os
import select
import sys
import time
from typing import TextIO

from genimg.common.errors import UserError

PATIENCE = 5.0  # seconds without room for output, after which a terminal counts as frozen and output is dropped
_UNLIMITED = 86_400.0  # seconds


class _Descriptor(io.FileIO):
    """An open descriptor that drops what it cannot write. It stays open when the object is deleted."""

    def __init__(self, number: int) -> None:
        super().__init__(number, "w", closefd=False)
        self.failure: OSError | None = None  # of the last write that failed
        self.patience = PATIENCE

    def write(self, data, /) -> int:
        end = time.monotonic() + self.patience
        try:
            while True:
                left = end - time.monotonic()
                if select.select([], [self], [], max(0.0, left))[1] and (written := self._write_some(data)):
                    self.patience = max(self.patience, PATIENCE)
                    return written
                if left <= 0:
                    self.patience = 0.0  # until there is room again
                    break
                time.sleep(0.01)  # ready, but without room for the data
        except OSError as error:
            self.failure = error
        return memoryview(data).nbytes

    def _write_some(self, data) -> int | None:
        """Writes what fits without waiting. Returns the number of bytes; None or 0 if nothing fits."""
        if not self.isatty():
            return super().write(memoryview(data)[: select.PIPE_BUF])
        try:  # opened again, because the shell shares the flags of the descriptor
            terminal = os.open(os.ttyname(self.fileno()), os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK)
        except OSError:  # of another user (su) or container
            return super().write(data)
        try:
            return os.write(terminal, data)
        except BlockingIOError:
            return 0
        finally:
            os.close(terminal)


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
    descriptor = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    if isinstance(descriptor, _Descriptor):
        descriptor.patience = _UNLIMITED  # the reader may be a pager
    sys.stdout.write(text)
    sys.stdout.flush()
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
