"""Signals of a sweep: Ctrl-C and SIGTERM save and stop the jobs that run, and no other job starts."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from genimg.common.processes import end_with_parent, unblock_interrupts
from genimg.sweeps.folder import SweepFolder


class StopRequest:
    """The first signal that stopped the sweep."""

    number: int | None = None


@contextmanager
def forward_to_jobs(folder: SweepFolder, wait: bool) -> Iterator[StopRequest]:
    """Forwards SIGINT, SIGTERM and SIGHUP to the jobs on this machine, in the process of the command.

    wait: the block ends by itself when the jobs have ended. False raises KeyboardInterrupt in it: for jobs that run on
    other machines or wait in a queue.
    """
    request = StopRequest()
    # a kill leaves records of jobs that seem to run; other processes may have their process ids by now
    stale = set(folder.running_here())

    def handle(number: int, _frame: FrameType | None) -> None:
        request.number = request.number or (signal.SIGINT if number == signal.SIGINT else signal.SIGTERM)
        folder.stop()
        for pid in folder.running_here():
            if pid != os.getpid() and pid not in stale:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
        if not wait:
            raise KeyboardInterrupt

    # signals that the caller ignores stay ignored, as for a single run
    numbers = [n for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) is not signal.SIG_IGN]
    before = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield request
    finally:
        _restore(before)


@contextmanager
def own_session() -> Iterator[None]:
    """Detaches the process of a job from the terminal, so that Ctrl-C reaches it once, from the command.

    A signal raises SystemExit as long as no worker runs that handles it.
    """

    def stop(number: int, _frame: FrameType | None) -> None:
        sys.exit(128 + number)

    with contextlib.suppress(PermissionError):  # it leads a session already
        os.setsid()
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    unblock_interrupts()
    try:
        yield
    finally:
        _restore(before)


def end_with_command(folder: SweepFolder) -> None:
    """Sends SIGTERM to this process once its parent or the command has ended.

    The parent may be a process of the launcher that outlives the command.
    """

    def wait() -> None:
        folder.hold_after_command()
        os.kill(os.getpid(), signal.SIGTERM)

    end_with_parent(signal.SIGTERM)
    threading.Thread(target=wait, daemon=True).start()


class Requeue:
    """Whether the scheduler asked to requeue the job: `handler` then does it, and does not return."""

    handler: Callable[[], object] | None = None


@contextmanager
def save_before_requeue() -> Iterator[Requeue]:
    """Delays the handlers of SIGUSR1 and SIGUSR2 until the worker has saved a checkpoint.

    SLURM sends them before it preempts a job or its time is over, and submitit's handlers requeue it. In this block the
    signal ends the worker like SIGTERM; the caller then calls the handler.
    """
    requeue = Requeue()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGUSR1, signal.SIGUSR2)}
    before = {number: handler for number, handler in handlers.items() if callable(handler)}

    def handle(number: int, frame: FrameType | None) -> None:
        requeue.handler = lambda: before[signal.Signals(number)](number, frame)
        os.kill(os.getpid(), signal.SIGTERM)

    for number in before:
        signal.signal(number, handle)
    try:
        yield requeue
    finally:
        _restore(before)


def _restore(handlers: dict) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)
