"""A job in a process beside others: out of reach of the terminal, quiet, and gone when the sweep is."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from genimg.parent import end_with_parent


@contextmanager
def apart(output: Path) -> Iterator[None]:
    """What the job prints goes to `output`. Signals come from the sweep's process alone, which passes on each once."""
    with contextlib.suppress(PermissionError):  # it has a session of its own already
        os.setsid()
    parent = os.getppid()
    end_with_parent()

    def stop(number: int, _frame: FrameType | None) -> None:
        sys.exit(128 + number)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    kept = [os.dup(1), os.dup(2)]
    output.parent.mkdir(parents=True, exist_ok=True)
    with open(output, "ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        sys.stdout.flush()
        for descriptor, name in zip(kept, (1, 2), strict=True):
            os.dup2(descriptor, name)
            os.close(descriptor)
        for number, handler in before.items():
            signal.signal(number, handler)
        if os.getppid() != parent:  # the job heard of it and has ended; nobody is left to give this process another
            os._exit(128 + signal.SIGTERM)
