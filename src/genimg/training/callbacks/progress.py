"""Shows the progress of a run: a bar in a terminal that can draw it, a line at intervals elsewhere."""

import logging
import sys
import time
from typing import ClassVar

from pytorch_lightning import LightningModule, Trainer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
from rich.table import Column

from genimg.training.callbacks.base import RunCallback

log = logging.getLogger(__name__)

_NARROWEST = 40  # columns; below, the bar would leave no room for the time that is left
_CHARACTERS = "━╸╺…"  # of rich's bar, and of text that is cut off


def draws_bars() -> bool:
    """Whether sys.stdout is a terminal that can move its cursor, is wide enough and encodes the characters of a bar."""
    console = Console()
    try:
        _CHARACTERS.encode(console.encoding)
    except UnicodeEncodeError:
        return False
    terminal = sys.stdout.isatty() and console.is_terminal and not console.is_dumb_terminal
    return terminal and console.width >= _NARROWEST


class ProgressDisplay(RunCallback):
    """Shows losses, images per second and the time left.

    Args:
        every_seconds: interval between two lines where no bar can be drawn.
    """

    passive: ClassVar[bool] = True

    def __init__(self, every_seconds: float) -> None:
        self.every_seconds = every_seconds
        self._bar: Progress | None = None
        self._line_at = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._line_at = time.monotonic()
        if trainer.is_global_zero and draws_bars():
            self._bar = Progress(
                BarColumn(bar_width=12, table_column=Column(min_width=12)),
                TaskProgressColumn(table_column=Column(min_width=4, no_wrap=True)),
                # text that does not fit into the terminal is cut off at its end, where the losses are
                TextColumn("{task.description}", table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1)),
                refresh_per_second=4,
                expand=True,
            )
            self._bar.add_task("starting", total=1.0)
            self._bar.start()

    def after_step(self, trainer: Trainer) -> None:
        progress = self.context.clock.progress
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=progress, description=self._describe())
        elif time.monotonic() - self._line_at >= self.every_seconds or trainer.should_stop:
            self._line_at = time.monotonic()
            log.info("%3.0f%%  %s", 100 * progress, self._describe())

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._close()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._close()

    def _describe(self) -> str:
        clock, latest = self.context.clock, self.context.metrics.latest
        monitored = f"val_{self.context.model.monitor[0]}"
        names = [name for name in latest if name.startswith("loss")] + [monitored] * (monitored in latest)
        losses = "  ".join(f"{name} {latest[name]:.3g}" for name in names)
        speed = latest.get("images_per_second") or clock.images_seen / max(clock.seconds, 1e-6)
        left = int(clock.seconds_left)
        return f"{left // 60}:{left % 60:02d} left  {speed:,.0f}/s  {clock.images_seen:,} images  {losses}"

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
