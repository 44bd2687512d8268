"""The figures of a run: collected without waiting for the device, written to metrics.jsonl and the loggers."""

import json
import logging
import math
from typing import Any, cast

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.loggers import TensorBoardLogger
from torch import Tensor

from genimg.callbacks.clock import Clock
from genimg.callbacks.find import find, run_folder
from genimg.models.base import GenerativeModel

log = logging.getLogger(__name__)

DIVERGED = 1  # exit code


class Metrics(Callback):
    """Means of the training metrics over `every_steps` steps, with the speed and the learning rates.

    The device is read once in `every_steps` steps. A figure that is not finite stops the run: the message says
    when, which figure, and which checkpoint is good.

    Args:
        every_steps: optimizer steps between two rows.
        hyperparameters: shown beside the figures by loggers that can; flat, plain values.
    """

    def __init__(self, every_steps: int, hyperparameters: dict[str, Any]) -> None:
        self.every_steps, self.hyperparameters = every_steps, hyperparameters
        self.latest: dict[str, float] = {}
        self._rows: list[dict[str, Tensor]] = []  # of the steps since the last row, on the device
        self._mark = (0, 0.0)  # images and seconds at the last row

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        clock = find(trainer, Clock)
        self._mark = (clock.images_seen, clock.seconds)
        table = run_folder(trainer).metrics
        if table.exists():  # resumed: what was written after the checkpoint happens again
            rows = table.read_text(encoding="utf-8").splitlines()
            kept = [row for row in rows if json.loads(row)["images_seen"] <= clock.images_seen]
            table.write_text("".join(f"{row}\n" for row in kept), encoding="utf-8")
        for logger in trainer.loggers:
            if not isinstance(logger, TensorBoardLogger):
                logger.log_hyperparams(self.hyperparameters)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The hyperparameters beside what they came to: TensorBoard's HPARAMS shows runs that have both, and its
        parallel coordinates want a number on every axis, so a run that was stopped is left out until it is resumed.
        """
        clock = find(trainer, Clock)
        if clock.exit_code != 0:
            return
        measured = {name.replace("val_", "final/", 1): v for name, v in self.latest.items() if name.startswith("val_")}
        finite = {name: value for name, value in measured.items() if math.isfinite(value)}
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                final = {**finite, "final/images_seen": clock.images_seen}
                logger.log_hyperparams(self.hyperparameters, metrics=final, step=clock.images_seen)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._rows.append({name: value.detach() for name, value in outputs.items()})
        if len(self._rows) >= self.every_steps or trainer.should_stop:
            self.flush(trainer)

    def flush(self, trainer: Trainer) -> None:
        """Write what was collected since the last row; stops the run if any of it is not finite."""
        if not self._rows:
            return
        rows, self._rows = self._rows, []
        told: dict[str, list[Tensor]] = {}  # a model may tell a figure in some steps only
        for step in rows:
            for name, value in step.items():
                told.setdefault(name, []).append(value)
        means = torch.stack([torch.stack(values).float().mean() for values in told.values()])
        row = dict(zip(told, means.tolist(), strict=True))
        broken = [name for name, value in row.items() if not math.isfinite(value)]
        clock = find(trainer, Clock)
        (images, seconds), self._mark = self._mark, (clock.images_seen, clock.seconds)
        row["images_per_second"] = (clock.images_seen - images) / max(clock.seconds - seconds, 1e-9)
        model = cast(GenerativeModel, trainer.lightning_module)
        for index, optimizer in enumerate(model.optimizer_list()):
            row[f"lr_{index}" if index else "lr"] = optimizer.param_groups[0]["lr"]
        self.write(trainer, "train", row)
        if broken:
            self._stop_diverged(trainer, broken, row, len(rows))

    def write(self, trainer: Trainer, stage: str, row: dict[str, float]) -> None:
        """One row of figures: to metrics.jsonl, to the loggers as `stage/name`, and to `latest`, as `val_name` where
        the stage is not training."""
        clock = find(trainer, Clock)
        self.latest |= row if stage == "train" else {f"{stage}_{name}": value for name, value in row.items()}
        finite = {name: value if math.isfinite(value) else None for name, value in row.items()}  # JSON has no NaN
        entry = {"images_seen": clock.images_seen, "seconds": round(clock.seconds, 3), "stage": stage, **finite}
        with open(run_folder(trainer).metrics, "a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
        for logger in trainer.loggers:
            logger.log_metrics({f"{stage}/{name}": value for name, value in row.items()}, step=clock.images_seen)

    def _stop_diverged(self, trainer: Trainer, broken: list[str], row: dict[str, float], steps: int) -> None:
        clock = find(trainer, Clock)
        folder = run_folder(trainer)
        good = folder.last if folder.last.exists() else folder.best
        log.error(
            "error: %s became non-finite within the last %d steps, at %s images (lr %.3g, progress %.0f%%).\n"
            "  The run stops here. %s\n"
            "  What often helps: a lower model.lr, trainer.precision=32-true, for the GAN a larger model.gamma.",
            " and ".join(broken),
            steps,
            f"{clock.images_seen:,}",
            row["lr"],
            100 * clock.progress,
            f"The last good checkpoint: {good}" if good.exists() else "No checkpoint had been written yet.",
        )
        clock.stop(trainer, DIVERGED)
