"""Stops a run after a signal: the step ends, a checkpoint is written, and the exit code names the signal."""

import logging
import signal
from types import FrameType
from typing import Any, ClassVar

from pytorch_lightning import Callback, LightningModule, Trainer

from genimg.common.processes import ProcessGroupFiles
from genimg.training.callbacks.clock import Clock

log = logging.getLogger(__name__)


class Signals(Callback):
    """SIGINT ends the run with exit code 130; SIGTERM, SIGHUP and SIGUSR1 with 143. A second SIGINT ends it at once.

    Any of several processes may receive the signal; all stop after the same step.
    """

    passive: ClassVar[bool] = False

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._before: dict[int, Any] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # SIGHUP: sent to all processes by a machine that shuts down; SIGUSR1: a scheduler's warning (sbatch --signal)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
            if signal.getsignal(number) == signal.SIG_IGN:  # set by nohup, and by shells for background jobs
                continue
            self._before[number] = signal.signal(number, self._receive)
        files = ProcessGroupFiles.from_environment()
        if files is not None and trainer.local_rank == 0:
            files.set_listener()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if (code := self.clock.exit_code) > 128:
            log.info("%s: saving and stopping", signal.Signals(code - 128).name)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._restore()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._restore()
        if ProcessGroupFiles.from_environment() is not None:  # the agent stops all; this one logs its error first
            signal.signal(signal.SIGTERM, lambda number, frame: None)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.clock.stop_request == 128 + signal.SIGINT and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.clock.stop_request = 128 + (signal.SIGINT if number == signal.SIGINT else signal.SIGTERM)

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
