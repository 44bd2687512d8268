"""A job in a process other than the command's: which signals reach it, where its output goes, when it ends."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from genimg.common.processes import end_with_parent, hear_interrupts
from genimg.sweeps.folder import SweepFolder


@contextmanager
def own_session() -> Iterator[None]:
    """Ctrl-C in the terminal reaches the command alone, which passes it on once; a signal ends the job as SystemExit
    where no worker is there yet to hear it.
    """

    def stop(number: int, _frame: FrameType | None) -> None:
        sys.exit(128 + number)

    with contextlib.suppress(PermissionError):  # it has one already
        os.setsid()
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    hear_interrupts()
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def end_with_command(folder: SweepFolder) -> None:
    """SIGTERM to this process when the command is gone, also where another process between the two is its parent and
    would go on without it; or when that one is.
    """

    def wait() -> None:
        folder.hold_after_command()
        os.kill(os.getpid(), signal.SIGTERM)

    end_with_parent(signal.SIGTERM)
    threading.Thread(target=wait, daemon=True).start()


@contextmanager
def beside_others(output: Path) -> Iterator[None]:
    """What the job prints goes to `output`, and this process ends when the command does."""
    parent = os.getppid()
    end_with_parent(signal.SIGTERM)
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
        if os.getppid() != parent:  # the job heard of it and has ended; nobody is left to give this process another
            os._exit(128 + signal.SIGTERM)


class Requeue:
    """What to do where a scheduler asked for the job to be queued again: call `handler`, which does not return."""

    handler: Callable[[], object] | None = None


@contextmanager
def saved_before_requeue() -> Iterator[Requeue]:
    """SIGUSR1 and SIGUSR2, by which submitit is told of a preemption or the end of the time, first end the worker as
    SIGTERM does, with a checkpoint; what they were to do is left to the caller.
    """
    asked = Requeue()
    before = {number: signal.getsignal(number) for number in (signal.SIGUSR1, signal.SIGUSR2)}
    heard = {number: handler for number, handler in before.items() if callable(handler)}

    def hear(number: int, frame: FrameType | None) -> None:
        asked.handler = lambda: heard[signal.Signals(number)](number, frame)
        os.kill(os.getpid(), signal.SIGTERM)

    for number in heard:
        signal.signal(number, hear)
    try:
        yield asked
    finally:
        for number, handler in heard.items():
            signal.signal(number, handler)
