"""Ctrl-C and SIGTERM: finish the step, let the checkpoint be written, and end with the signal's exit code."""

import logging
import signal
from types import FrameType
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from genimg.callbacks.clock import Clock
from genimg.callbacks.find import find

log = logging.getLogger(__name__)


class Signals(Callback):
    """SIGINT ends the run with 130, SIGTERM with 143, after the step at hand. A second SIGINT stops at once."""

    def __init__(self) -> None:
        self._received: int | None = None
        self._before: dict[int, Any] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # after Lightning has registered its own handler, which would raise inside the step
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) == signal.SIG_IGN:  # as nohup and shells ask of jobs in the background
                continue
            self._before[number] = signal.signal(number, self._receive)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self._received is not None:
            log.info("%s: saving and stopping", signal.Signals(self._received).name)
            find(trainer, Clock).stop(trainer, 128 + self._received)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._restore()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._restore()

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self._received == signal.SIGINT and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._received = number

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
