"""The figures of a run: collected without waiting for the device, written to metrics.jsonl and the loggers."""

import json
import logging
import math
import os
from collections.abc import Callable, Mapping
from itertools import takewhile
from typing import Any, cast

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.loggers import Logger, TensorBoardLogger
from torch import Tensor, nn

from genimg.common.files import append_text
from genimg.common.monitored import Monitored
from genimg.distributed.data_parallel import highest
from genimg.models.base import GenerativeModel
from genimg.training.callbacks.clock import Clock
from genimg.training.callbacks.find import find, run_folder

log = logging.getLogger(__name__)

DIVERGED = 1  # exit code


class Metrics(Callback):
    """Means of the training metrics over `every_steps` steps and all processes, with the speed and the learning rates.

    The device is read once in `every_steps` steps. A figure that is not finite stops the run: the message says
    when, which figure, and which checkpoint is good. The steps since the last row, and rows that the disk has refused,
    are a part of the checkpoint, so that a run that is killed and resumed writes the rows of one that was not.

    Args:
        every_steps: optimizer steps between two rows.
        hyperparameters: shown beside the figures by loggers that can; flat, plain values.
        loggers: the trainer's, from the start of the training on; one whose file a full disk refuses is left out.
    """

    def __init__(self, every_steps: int, hyperparameters: dict[str, Any], loggers: list[Logger]) -> None:
        self.every_steps, self.hyperparameters, self.loggers = every_steps, hyperparameters, loggers
        self.latest: dict[str, float] = {}
        self.pending: list[dict[str, Tensor]] = []  # of the steps since the last row, on the device
        self._mark = (0, 0.0)  # images and seconds at the last row
        self._unwritten: list[dict[str, Any]] = []  # rows that a full disk has refused

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        clock = find(trainer, Clock)
        self._mark = (clock.images_seen, clock.seconds)
        table = run_folder(trainer).metrics
        if table.exists() and trainer.is_global_zero:  # resumed: what was written after the checkpoint happens again
            rows = table.read_bytes().splitlines(keepends=True)
            kept = takewhile(lambda row: _images_seen(row) <= clock.images_seen, rows)
            os.truncate(table, sum(map(len, kept)))  # which a full disk allows

        def begin(logger: Logger) -> None:
            if isinstance(logger, TensorBoardLogger):
                _ = logger.experiment  # opens its file
            else:
                logger.log_hyperparams(self.hyperparameters)

        trainer.loggers = self.loggers
        to_loggers(trainer, begin)

    def waiting(self) -> dict[str, Any]:
        """What no row tells yet, of this process: plain types, tensors on the CPU."""
        pending = [{name: value.cpu() for name, value in step.items()} for step in self.pending]
        return {"pending": pending, "unwritten": list(self._unwritten)}

    def go_on_with(self, waiting: dict[str, Any], trainer: Trainer) -> None:
        """The inverse of `waiting`, once the training has started; rows that have been written since are not again."""
        device = trainer.strategy.root_device
        self.pending = [{name: value.to(device) for name, value in step.items()} for step in waiting["pending"]]
        table = run_folder(trainer).metrics
        written = set(table.read_text(encoding="utf-8").splitlines()) if table.exists() else set()
        self._unwritten = [row for row in waiting.get("unwritten", []) if json.dumps(row) not in written]

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The hyperparameters beside what they came to: TensorBoard's HPARAMS shows runs that have both, and its
        parallel coordinates want a number on every axis, so a run that was stopped is left out until it is resumed.

        Without the summary of an experiment that Lightning writes into every run: TensorBoard shows all runs by the
        first one's, where without any it shows the settings of all, those that differ first, and all scalars, of which
        the final ones come first.
        """
        clock = find(trainer, Clock)
        measured = {name.replace("val_", "final/", 1): v for name, v in self.latest.items() if name.startswith("val_")}
        final = {name: value for name, value in measured.items() if math.isfinite(value)}
        final["final/images_seen"] = clock.images_seen

        def tell(logger: Logger) -> None:
            if isinstance(logger, TensorBoardLogger) and clock.exit_code == 0:
                from torch.utils.tensorboard.summary import hparams  # takes a while, where nobody may log there

                _, begin, end = hparams(self.hyperparameters, {})
                for summary in (begin, end):
                    logger.experiment._get_file_writer().add_summary(summary)
                logger.log_metrics(final, step=clock.images_seen)
                logger.hparams.update(self.hyperparameters)  # for the file that `save` writes
            logger.save()

        to_loggers(trainer, tell)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.pending.append({name: value.detach() for name, value in outputs.items()})
        if len(self.pending) >= self.every_steps or find(trainer, Clock).spent:
            self.flush(trainer)

    def flush(self, trainer: Trainer) -> None:
        """Write what was collected since the last row; stops the run if any of it is not finite."""
        if not self.pending:
            return
        means = self._means(trainer)
        steps, self.pending = len(self.pending), []
        row = dict(means)
        clock = find(trainer, Clock)
        (images, seconds), self._mark = self._mark, (clock.images_seen, clock.seconds)
        row["images_per_second"] = (clock.images_seen - images) / max(clock.seconds - seconds, 1e-9)
        row |= cast(GenerativeModel, trainer.lightning_module).learning_rates()
        self.write(trainer, "train", row)
        if broken := [name for name, value in means.items() if not math.isfinite(value)]:
            self._stop_diverged(trainer, broken, steps)

    def check(self, trainer: Trainer) -> None:
        """Stops the run if a figure since the last row is not finite, or a weight: a gradient that is not shows in no
        figure before the next step. Writes no row otherwise.
        """
        if find(trainer, Clock).exit_code == DIVERGED:
            return
        if self.pending and not all(map(math.isfinite, self._means(trainer).values())):
            self.flush(trainer)
        elif highest(trainer, [float(not finite_weights(trainer.lightning_module))])[0]:
            self._stop_diverged(trainer, ["weights"], len(self.pending) or self.every_steps)

    def _means(self, trainer: Trainer) -> dict[str, float]:
        """Of the pending steps, over all processes; a model may tell a figure in some steps only."""
        told: dict[str, list[Tensor]] = {}
        for step in self.pending:
            for name, value in step.items():
                told.setdefault(name, []).append(value)
        means = torch.stack([torch.stack(values).float().mean() for values in told.values()])
        return dict(zip(told, trainer.strategy.reduce(means).tolist(), strict=True))

    def write(self, trainer: Trainer, stage: str, row: dict[str, float], n: int | None = None) -> None:
        """One row of figures: to metrics.jsonl, to the loggers as `stage/name`, and to `latest`, as `val_name` where
        the stage is not training.

        n: the images or clips that they are of, where they are of some; that of the figure that the model is judged
            by stands in `latest` beside it, as `val_name_n`.
        """
        clock = find(trainer, Clock)
        self.latest |= row if stage == "train" else {f"{stage}_{name}": value for name, value in row.items()}
        judged_by = cast(GenerativeModel, trainer.lightning_module).monitor[0]
        if n is not None and judged_by in row:
            self.latest[f"{stage}_{judged_by}_n"] = n
        if not trainer.is_global_zero:
            return
        finite = {name: value if math.isfinite(value) else None for name, value in row.items()}  # JSON has no NaN
        of = {} if n is None else {"n": n}
        entry = {"images_seen": clock.images_seen, "seconds": round(clock.seconds, 3), "stage": stage, **of, **finite}
        self._unwritten.append(entry)
        try:
            append_text(run_folder(trainer).metrics, "".join(json.dumps(row) + "\n" for row in self._unwritten))
            self._unwritten = []
        except OSError as error:
            if len(self._unwritten) == 1:
                log.warning("figures cannot be written: %s. The run goes on and tries again.", error)
        figures = {f"{stage}/{name}": value for name, value in row.items()}
        to_loggers(trainer, lambda logger: logger.log_metrics(figures, step=clock.images_seen))

    def _stop_diverged(self, trainer: Trainer, broken: list[str], steps: int) -> None:
        clock = find(trainer, Clock)
        rates = cast(GenerativeModel, trainer.lightning_module).learning_rates()
        folder = run_folder(trainer)
        good = folder.last if folder.last.exists() else folder.best
        log.error(
            "error: %s became non-finite within the last %d steps, at %s images (%s, progress %.0f%%).\n"
            "  %s\n"
            "  What often helps: a lower model.lr, trainer.precision=32-true, for the GAN a larger model.gamma.",
            " and ".join(broken),
            steps,
            f"{clock.images_seen:,}",
            ", ".join(f"{name} {rate:.3g}" for name, rate in rates.items()),
            100 * clock.progress,
            f"The last good checkpoint: {good}" if good.exists() else "No checkpoint had been written yet.",
            extra={"file_only": not trainer.is_global_zero},
        )
        clock.stop(trainer, DIVERGED)


def monitored(figures: Mapping[str, Any], model: LightningModule) -> Monitored | None:
    """The one that `model` is judged by, of `Metrics.latest`, which checkpoints keep; None before it is measured."""
    name, direction = cast(GenerativeModel, model).monitor
    value = figures.get(f"val_{name}")
    return None if value is None else Monitored(name, value, direction, figures.get(f"val_{name}_n"))


def finite_weights(model: nn.Module) -> bool:
    """Whether this process's weights are; the device is read once."""
    return bool(torch.stack([weight.detach().isfinite().all() for weight in model.parameters()]).all())


def to_loggers(trainer: Trainer, tell: Callable[[Logger], None]) -> None:
    """A logger that cannot write is left out from there on: TensorBoard's does not recover."""
    for logger in trainer.loggers:
        try:
            tell(logger)
        except (OSError, ValueError) as error:  # Lightning's TensorBoardLogger makes the one the other
            if not isinstance(error.__cause__ or error, OSError):
                raise
            log.warning("%s ends here: %s. The run goes on.", type(logger).__name__, error.__cause__ or error)
            trainer.loggers = [other for other in trainer.loggers if other is not logger]


def _images_seen(row: bytes) -> float:
    """Of a line of metrics.jsonl; infinity for one that a kill has cut off, or that is no row."""
    try:
        return float(json.loads(row)["images_seen"]) if row.endswith(b"\n") else math.inf
    except (ValueError, TypeError, KeyError):
        return math.inf
