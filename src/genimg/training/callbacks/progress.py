"""What a person sees while a run goes on: a bar in a terminal, a line now and then elsewhere."""

import logging
import sys
import time
from typing import Any, cast

from pytorch_lightning import Callback, LightningModule, Trainer
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
from rich.table import Column

from genimg.models.base import GenerativeModel
from genimg.training.callbacks.clock import Clock
from genimg.training.callbacks.find import find
from genimg.training.callbacks.metrics import Metrics

log = logging.getLogger(__name__)


class ProgressDisplay(Callback):
    """Losses, images a second and the time left.

    Args:
        every_seconds: between two lines where there is no terminal.
    """

    def __init__(self, every_seconds: float) -> None:
        self.every_seconds = every_seconds
        self._bar: Progress | None = None
        self._line_at = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._line_at = time.monotonic()
        if sys.stdout.isatty() and trainer.is_global_zero:
            self._bar = Progress(
                BarColumn(bar_width=12, table_column=Column(min_width=12)),
                TaskProgressColumn(table_column=Column(min_width=4, no_wrap=True)),
                # what does not fit into the terminal is cut off at its end: the losses
                TextColumn("{task.description}", table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1)),
                refresh_per_second=4,
                expand=True,
            )
            self._bar.add_task("starting", total=1.0)
            self._bar.start()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        clock = find(trainer, Clock)
        if self._bar is not None:
            task = self._bar.task_ids[0]
            self._bar.update(task, completed=clock.progress, description=self._describe(trainer, clock))
        elif time.monotonic() - self._line_at >= self.every_seconds or trainer.should_stop:
            self._line_at = time.monotonic()
            log.info("%3.0f%%  %s", 100 * clock.progress, self._describe(trainer, clock))

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._close()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._close()

    def _describe(self, trainer: Trainer, clock: Clock) -> str:
        latest = find(trainer, Metrics).latest
        judged_by = f"val_{cast(GenerativeModel, trainer.lightning_module).monitor[0]}"
        shown = [name for name in latest if name.startswith("loss")] + [judged_by] * (judged_by in latest)
        losses = "  ".join(f"{name} {latest[name]:.3g}" for name in shown)
        speed = latest.get("images_per_second") or clock.images_seen / max(clock.seconds, 1e-6)
        left = int(clock.seconds_left)
        return f"{left // 60}:{left % 60:02d} left  {speed:,.0f}/s  {clock.images_seen:,} images  {losses}"

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
