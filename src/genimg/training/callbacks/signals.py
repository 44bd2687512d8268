"""Ctrl-C and SIGTERM: finish the step, let the checkpoint be written, and end with the signal's exit code."""

import logging
import signal
from types import FrameType
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from genimg.common.processes import Control
from genimg.training.callbacks.clock import Clock
from genimg.training.callbacks.find import find

log = logging.getLogger(__name__)


class Signals(Callback):
    """SIGINT ends the run with 130, SIGTERM, SIGHUP and SIGUSR1 with 143, after the step at hand.

    A second SIGINT ends it at once. Of several processes each may be told; all of them stop after the same step.
    """

    def __init__(self) -> None:
        self._clock: Clock | None = None
        self._before: dict[int, Any] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._clock = find(trainer, Clock)
        # HUP: a machine that shuts down sends it to all; USR1: a scheduler's warning (sbatch --signal)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
            if signal.getsignal(number) == signal.SIG_IGN:  # as nohup and shells ask of jobs in the background
                continue
            self._before[number] = signal.signal(number, self._receive)
        control = Control.of_environment()
        if control is not None and trainer.local_rank == 0:
            control.listen()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if (code := find(trainer, Clock).exit_code) > 128:
            log.info("%s: saving and stopping", signal.Signals(code - 128).name)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._restore()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._restore()
        if Control.of_environment() is not None:  # the agent ends all once one has failed: this one first says why
            signal.signal(signal.SIGTERM, lambda number, frame: None)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        assert self._clock is not None
        if self._clock.asked_to_stop == 128 + signal.SIGINT and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._clock.asked_to_stop = 128 + (signal.SIGINT if number == signal.SIGINT else signal.SIGTERM)

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
