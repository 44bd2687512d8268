"""The last and the best checkpoint of a run, and the way back from one."""

import logging
import math
import time
from typing import Any, cast

import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from genimg.callbacks.average import WeightAverage
from genimg.callbacks.clock import Clock
from genimg.callbacks.find import find, run_folder
from genimg.callbacks.metrics import Metrics
from genimg.checkpoints import FORMAT, Checkpoint, load_checkpoint, save_checkpoint, versions
from genimg.files import write_json
from genimg.models.base import GenerativeModel

log = logging.getLogger(__name__)


class Checkpoints(Callback):
    """Writes `last` every so often and at the end, and `best` whenever the model's monitored figure improves.

    Args:
        config: the resolved configuration, stored whole.
        every_images: images between two saves; None for none by this count.
        every_minutes: minutes between two saves; None for none by the clock.
        resume: the checkpoint to go on from, or None.
    """

    def __init__(
        self,
        config: dict[str, Any],
        every_images: int | None,
        every_minutes: float | None,
        resume: Checkpoint | None = None,
    ) -> None:
        self.config = config
        self.every_images, self.every_minutes = every_images, every_minutes
        self.resume = resume
        self.best: float | None = None
        self.seconds_spent = 0.0
        self._last_save = time.monotonic()

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Everything but the weights, which the task loaded, and the data's position, which follows the clock."""
        if self.resume is None:
            return
        for optimizer, state in zip(trainer.optimizers, self.resume["optimizers"], strict=True):
            optimizer.load_state_dict(state)
        best = run_folder(trainer).best
        # its own figure and not the last one's: after a crash it may be newer
        figures = load_checkpoint(best)["figures"] if best.exists() else {}
        judged_by = f"val_{cast(GenerativeModel, pl_module).monitor[0]}"
        self.best = figures["best"] if judged_by in figures else None  # one of 0.3.0 was judged by another figure

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.resume is not None:  # the last thing before the first step, so that nothing draws in between
            restore_random_state(self.resume["random"])
            self.resume = None
        self._last_save = time.monotonic()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        clock = find(trainer, Clock)
        by_images = self.every_images is not None and clock.passed(self.every_images)
        minutes = (time.monotonic() - self._last_save) / 60
        by_time = self.every_minutes is not None and minutes >= self.every_minutes
        if by_images or by_time or trainer.should_stop:
            self.save_last(trainer)

    def on_measured(self, trainer: Trainer, figures: dict[str, float]) -> None:
        """Called with new figures: keep this state if the model is judged by one of them, and it is the best so far."""
        name, direction = cast(GenerativeModel, trainer.lightning_module).monitor
        if name not in figures:
            return
        figure = figures[name]
        find(trainer, Metrics).flush(trainer)  # so that a loss that is not finite is known of
        better = self.best is None or (figure > self.best if direction == "max" else figure < self.best)
        if better and math.isfinite(figure) and find(trainer, Clock).exit_code == 0:
            self.best = figure
            self._save(trainer, "best")

    def save_last(self, trainer: Trainer) -> None:
        """Write `last`, unless what was trained since is not finite."""
        find(trainer, Metrics).flush(trainer)
        clock = find(trainer, Clock)
        if clock.exit_code in (0, 130, 143):
            self._save(trainer, "last")
        self._last_save = time.monotonic()

    def _save(self, trainer: Trainer, name: str) -> None:
        started = time.monotonic()
        path = run_folder(trainer).checkpoints / f"{name}.pt"
        try:
            save_checkpoint(path, capture(trainer, self.config, self.best))
            if name == "best":
                write_json(run_folder(trainer).best_figure, self._best_figure(trainer))
        except OSError as error:
            log.warning("could not write %s: %s. The run goes on; the older checkpoint is intact.", path, error)
        self.seconds_spent += time.monotonic() - started

    def _best_figure(self, trainer: Trainer) -> dict[str, Any]:
        name, direction = cast(GenerativeModel, trainer.lightning_module).monitor
        seen = find(trainer, Clock).images_seen
        return {"name": name, "value": self.best, "direction": direction, "images_seen": seen}


def capture(trainer: Trainer, config: dict[str, Any], best: float | None) -> Checkpoint:
    """The whole state of a run between two steps, in plain types."""
    model = cast(GenerativeModel, trainer.lightning_module)
    clock = find(trainer, Clock)
    data: Any = trainer.datamodule  # pyright: ignore[reportAttributeAccessIssue]
    return {
        "format": FORMAT,
        "config": config,
        "model": model.state_dict(),
        "ema": find(trainer, WeightAverage).state_dict(),
        "optimizers": [optimizer.state_dict() for optimizer in trainer.optimizers],
        "clock": clock.state_dict(),
        "images_seen": clock.images_seen,
        "random": random_state(),
        "data": {
            "fingerprint": data.fingerprint,
            "classes": list(data.classes),
            "image_shape": list(data.image_shape),
            "num_frames": data.num_frames,
        },
        "figures": {"best": best, **find(trainer, Metrics).latest},
        "versions": versions(),
    }


def random_state() -> dict[str, Any]:
    """The state of torch's generators; everything else that draws in training is a function of seeds and counters."""
    state: dict[str, Any] = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state_all()
    return state


def restore_random_state(state: dict[str, Any]) -> None:
    """The inverse of `random_state`."""
    torch.set_rng_state(state["cpu"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda"])
