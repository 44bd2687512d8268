"""Ctrl-C and SIGTERM for a whole sweep: the jobs that run save and end, no other one starts."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from genimg.sweeps.folder import SweepFolder


class Heard:
    """The first signal that the sweep was stopped by."""

    number: int | None = None


@contextmanager
def stopping(folder: SweepFolder, waits: bool) -> Iterator[Heard]:
    """Passes SIGINT, SIGTERM and SIGHUP on to the jobs on this machine for as long as the block lasts.

    waits: the block then ends by itself, when they have ended; False raises KeyboardInterrupt in it, for jobs that
    run elsewhere or wait in a queue.
    """
    heard = Heard()
    # a kill leaves records of jobs that seem to run; their numbers may be other processes' by now
    killed = set(folder.running_here())

    def hear(number: int, _frame: FrameType | None) -> None:
        heard.number = heard.number or (signal.SIGINT if number == signal.SIGINT else signal.SIGTERM)
        folder.stop()
        for pid in folder.running_here():
            if pid != os.getpid() and pid not in killed:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
        if not waits:
            raise KeyboardInterrupt

    # what the caller ignores stays ignored, as for a single run
    numbers = [n for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) is not signal.SIG_IGN]
    before = {number: signal.signal(number, hear) for number in numbers}
    try:
        yield heard
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
