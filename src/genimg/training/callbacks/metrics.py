"""The metrics of a run: collected without waiting for the device, written to metrics.jsonl and the loggers."""

import json
import logging
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.loggers import Logger
from torch import Tensor, nn

from genimg.common.files import append_text
from genimg.common.monitored import Monitored
from genimg.common.reading import describe_damage, read_json_lines
from genimg.common.run_folder import RunFolder
from genimg.distributed.data_parallel import all_reduce_max
from genimg.models.base import GenerativeModel
from genimg.training import loggers
from genimg.training.callbacks.clock import Clock
from genimg.training.lightning_api import others

log = logging.getLogger(__name__)

DIVERGED = 1  # exit code


class Metrics(Callback):
    """Writes means of the training metrics over `every_steps` steps and all processes, with speed and learning rates.

    The device is read once per `every_steps` steps. A value that is not finite stops the run with a message. The steps
    since the last row, and rows that a full disk refused, are part of the checkpoint, so that a run that is killed and
    resumed writes the same rows as one that was not.

    Args:
        every_steps: optimizer steps between two rows.
        hyperparameters: flat, plain values for loggers that show them.
        of_run: loggers, attached to the trainer when training starts.
    """

    passive: ClassVar[bool] = False

    def __init__(
        self,
        model: GenerativeModel,
        clock: Clock,
        folder: RunFolder,
        every_steps: int,
        hyperparameters: dict[str, Any],
        of_run: list[Logger],
    ) -> None:
        self.model, self.clock, self.folder = model, clock, folder
        self.every_steps, self.hyperparameters, self.loggers = every_steps, hyperparameters, of_run
        self.latest: dict[str, float] = {}
        self.pending: list[dict[str, Tensor]] = []  # of the steps since the last row, on the device
        self._mark = (0, 0.0)  # images and seconds at the last row
        self._unwritten: list[dict[str, Any]] = []  # rows that a full disk refused

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if others(trainer):  # some ask for a logger already here
            trainer.loggers = self.loggers

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._mark = (self.clock.images_seen, self.clock.seconds)
        file = self.folder.metrics
        if file.exists() and trainer.is_global_zero:  # rows after the checkpoint will be written again
            os.truncate(file, _end_of_rows(file, self.clock.images_seen))  # works on a full disk

        trainer.loggers = self.loggers
        loggers.start(trainer, self.hyperparameters, self.folder.path)

    def state(self) -> tuple[list[dict[str, Tensor]], list[dict[str, Any]]]:
        """Returns this process's metrics of the steps since the last row, on the CPU, and the unwritten rows."""
        return [{name: value.cpu() for name, value in step.items()} for step in self.pending], list(self._unwritten)

    def restore(self, pending: list[dict[str, Tensor]], unwritten: list[dict[str, Any]], device: torch.device) -> None:
        """Continues from `state`, after training has started. Rows that were written since are dropped."""
        self.pending = [{name: value.to(device) for name, value in step.items()} for step in pending]
        file = self.folder.metrics
        written = {json.dumps(line.row) for line in read_json_lines(file)} if file.exists() else set()
        self._unwritten = [row for row in unwritten if json.dumps(row) not in written]

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Completes the loggers.

        TensorBoard's HPARAMS tab lists runs with final metrics, and its parallel coordinates need a number on every
        axis, so a stopped run is left out until it is resumed.
        """
        measured = {name.replace("val_", "final/", 1): v for name, v in self.latest.items() if name.startswith("val_")}
        final = {name: value for name, value in measured.items() if math.isfinite(value)}
        final["final/images_seen"] = self.clock.images_seen
        stopped, seen = self.clock.exit_code != 0, self.clock.images_seen
        loggers.finish(trainer, self.hyperparameters, None if stopped else final, seen)
        self._report_unknown(trainer)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        loggers.end(trainer, "success")

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        loggers.end(trainer, "failed")

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.pending.append({name: value.detach() for name, value in outputs.items()})
        if len(self.pending) >= self.every_steps or self.clock.spent:
            self.flush(trainer)

    def flush(self, trainer: Trainer) -> None:
        """Writes a row for the steps since the last one. Stops the run if a value is not finite."""
        if not self.pending:
            return
        means = self._means(trainer)
        steps, self.pending = len(self.pending), []
        clock = self.clock
        (images, seconds), self._mark = self._mark, (clock.images_seen, clock.seconds)
        speed = (clock.images_seen - images) / max(clock.seconds - seconds, 1e-9)
        self.write(trainer, "train", {**means, "images_per_second": speed, **self.model.learning_rates()})
        if broken := [name for name, value in means.items() if not math.isfinite(value)]:
            self._stop_diverged(trainer, broken, steps)

    def check(self, trainer: Trainer) -> None:
        """Stops the run if a metric since the last row, or a weight, is not finite; else writes no row.

        The weights are checked because a gradient that is not finite appears in no metric before the next step.
        """
        if self.clock.exit_code == DIVERGED:
            return
        if self.pending and not all(map(math.isfinite, self._means(trainer).values())):
            self.flush(trainer)
        elif all_reduce_max(trainer, [float(not weights_are_finite(self.model))])[0]:
            self._stop_diverged(trainer, ["weights"], len(self.pending) or self.every_steps)

    def _means(self, trainer: Trainer) -> dict[str, float]:
        """Returns means over the pending steps and all processes. A model may report a metric in some steps only."""
        values: dict[str, list[Tensor]] = {}
        for step in self.pending:
            for name, value in step.items():
                values.setdefault(name, []).append(value)
        means = torch.stack([torch.stack(column).float().mean() for column in values.values()])
        return dict(zip(values, trainer.strategy.reduce(means).tolist(), strict=True))

    def write(self, trainer: Trainer, stage: str, row: dict[str, float], n: int | None = None) -> None:
        """Writes one row to metrics.jsonl, to the loggers as `stage/name`, and to `latest`.

        In `latest`, and in `trainer.callback_metrics` for callbacks of others, names of other stages than training
        have the prefix `val_`.

        n: images or clips that the values are computed from. `latest` keeps that of the monitored metric, as
            `val_NAME_n`.
        """
        clock, monitor = self.clock, self.model.monitor[0]
        self.latest |= row if stage == "train" else {f"{stage}_{name}": value for name, value in row.items()}
        trainer.callback_metrics.update({name: torch.tensor(value) for name, value in self.latest.items()})
        if n is not None and monitor in row:
            self.latest[f"{stage}_{monitor}_n"] = n
        if not trainer.is_global_zero:
            return
        finite = {name: value if math.isfinite(value) else None for name, value in row.items()}  # JSON has no NaN
        about = {"images_seen": clock.images_seen, "seconds": round(clock.seconds, 3), "stage": stage}
        self._unwritten.append({**about, **({} if n is None else {"n": n}), **finite})
        try:
            append_text(self.folder.metrics, "".join(json.dumps(row) + "\n" for row in self._unwritten))
            self._unwritten = []
        except OSError as error:
            if len(self._unwritten) == 1:
                log.warning("metrics cannot be written: %s. The run continues and tries again.", error)
        values = {f"{stage}/{name}": value for name, value in row.items()}
        loggers.log_metrics(trainer, values, clock.images_seen)

    @property
    def trained(self) -> set[str]:
        """The names of the training metrics so far."""
        return {name for name in self.latest if not name.startswith("val_")}

    def _report_unknown(self, trainer: Trainer) -> None:
        """Warns of a callback that waited for a metric which the run does not have."""
        for callback in others(trainer):
            monitor = getattr(callback, "monitor", None)
            if monitor is not None and monitor not in trainer.callback_metrics:
                known = ", ".join(sorted(trainer.callback_metrics))
                log.warning("%s never saw its metric %s; this run has %s", type(callback).__name__, monitor, known)

    def _stop_diverged(self, trainer: Trainer, broken: list[str], steps: int) -> None:
        clock, folder = self.clock, self.folder
        good = folder.last if folder.last.exists() else folder.best
        log.error(
            "error: %s became non-finite within the last %d steps, at %s images (%s, progress %.0f%%).\n"
            "  %s\n"
            "  Try a lower model.lr, trainer.precision=32-true, or for a GAN a larger model.gamma.",
            " and ".join(broken),
            steps,
            f"{clock.images_seen:,}",
            ", ".join(f"{name} {rate:.3g}" for name, rate in self.model.learning_rates().items()),
            100 * clock.progress,
            f"The last good checkpoint: {good}" if good.exists() else "There is no checkpoint yet.",
            extra={"file_only": not trainer.is_global_zero},
        )
        clock.stop(trainer, DIVERGED)


def monitored(metrics: Mapping[str, float], model: GenerativeModel) -> Monitored | None:
    """Returns the value of the model's monitored metric in `Metrics.latest`; None before it is measured."""
    name, direction = model.monitor
    value = metrics.get(f"val_{name}")
    return None if value is None else Monitored(name, value, direction, int(metrics[f"val_{name}_n"]))


def weights_are_finite(model: nn.Module) -> bool:
    """Returns whether all weights of this process are finite. Reads the device once."""
    return bool(torch.stack([weight.detach().isfinite().all() for weight in model.parameters()]).all())


def _end_of_rows(file: Path, images_seen: int) -> int:
    """The position in metrics.jsonl before the rows beyond `images_seen`. Warns of damaged lines, which stay."""
    end, beyond, damaged = 0, False, []
    for line in read_json_lines(file):
        seen = None if line.row is None else line.row.get("images_seen")
        valid = isinstance(seen, int | float)
        beyond = seen > images_seen if valid else beyond
        if not valid and line.complete:
            damaged.append(line._replace(row=None))
        if not beyond and line.complete:
            end = line.end
    if told := describe_damage(file, damaged):
        log.warning("%s", told)
    return end
