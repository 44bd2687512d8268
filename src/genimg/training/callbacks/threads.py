"""Leaves cores to other programs that start during a run, if the end of the run is a time."""

import logging
import os
import time
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from genimg.common.hardware import cpu_times

log = logging.getLogger(__name__)

EVERY = 1.0  # seconds between two readings


class Usage(NamedTuple):
    """Seconds of the cores of this process since some moment: by all programs, and by this process."""

    all: float
    own: float


def read_usage() -> Usage:
    """Reads the usage so far. Raises OSError on other systems than Linux."""
    ticks = cpu_times()
    busy = sum(ticks) - ticks[3] - ticks[4]  # idle and iowait
    times = os.times()
    return Usage(busy / os.sysconf("SC_CLK_TCK"), times.user + times.system)


class SharedProcessor(Callback):
    """Uses as many threads as there are cores without other programs.

    Threads wait for each other after each operation, so one that shares its core holds up all. Results may depend on
    the number of threads in their last bits: use it only for a run that would not repeat bit for bit anyway.

    Args:
        threads: with which the run starts.
        most: threads.
        read: the usage of the processor.
        clock: seconds.
    """

    passive: ClassVar[bool] = False

    def __init__(
        self,
        threads: int,
        most: int,
        read: Callable[[], Usage] = read_usage,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.threads, self.most, self.read, self.clock = threads, most, read, clock
        self._before: tuple[float, Usage] | None = None
        self._more = False  # the last reading would have allowed more threads
        self._told = False

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        now = self.clock()
        if self._before is not None and now - self._before[0] < EVERY:
            return
        try:
            usage = self.read()
        except OSError:  # not Linux
            return
        if self._before is not None:
            then, before = self._before
            others = (usage.all - before.all - (usage.own - before.own)) / (now - then)
            self._choose(max(1, min(self.most, round(self.most - others))))
        self._before = now, usage

    def _choose(self, threads: int) -> None:
        """Takes fewer threads at once, and more after two readings that agree."""
        more, self._more = self._more, threads > self.threads
        if threads == self.threads or (self._more and not more):
            return
        if threads < self.threads and not self._told:
            log.info("threads   %d of %d, while other programs use the processor", threads, self.most)
            self._told = True
        self.threads, self._more = threads, False
        torch.set_num_threads(threads)
