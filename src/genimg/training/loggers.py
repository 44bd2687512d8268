"""The loggers of a run: each of them gets the curves, the sheets, the animations and the hyperparameters."""

import logging
import os
import re
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pytorch_lightning import Trainer
from pytorch_lightning.loggers import MLFlowLogger, TensorBoardLogger
from pytorch_lightning.loggers.logger import DummyLogger, Logger
from tensorboard.compat.proto.summary_pb2 import Summary  # pyright: ignore[reportAttributeAccessIssue]
from torch import Tensor

from genimg.common.build import Builder
from genimg.common.errors import UserError, first_line
from genimg.common.ranks import rank
from genimg.sampling.images.files import to_pillow
from genimg.training.callbacks.csv_table import CsvTable
from genimg.training.lightning_api import add_summary
from genimg.training.settings import TrainSettings

log = logging.getLogger(__name__)


def build_loggers(settings: TrainSettings, builder: Builder, images_seen: int) -> list[Logger]:
    """Returns the loggers on rank 0, which alone writes; on other ranks one that does nothing, if there are any.

    Raises:
        UserError: for a logger whose package is missing.
    """
    if rank():
        return [DummyLogger()] if settings.logger else []
    loggers = []
    for name, given in settings.logger.items():
        node = {**given, **_of_this_run(name, given, settings, images_seen)}
        try:
            logger = builder.build(node, f"logger.{name}", "logger")
        except ImportError as error:
            expected = f"an installed package: {first_line(error)}"
            raise UserError(f"logger.{name}", given["_target_"], expected) from error
        if not isinstance(logger, Logger):
            raise UserError(f"logger.{name}._target_", type(logger).__name__, "a logger of Lightning")
        loggers.append(logger)
    return loggers


def _of_this_run(name: str, node: dict[str, Any], settings: TrainSettings, images_seen: int) -> dict[str, Any]:
    """The arguments of the logger `name` that depend on the run, if `node` does not set them.

    TensorBoard's `purge_step` hides what an earlier session wrote after `images_seen`. W&B continues the run with the
    same `id`.

    Raises:
        UserError: for a run folder in which MLflow can have no database.
    """
    folder = settings.run_dir.absolute()
    own: dict[str, Any] = {}
    match node["_target_"].rpartition(".")[2]:
        case "TensorBoardLogger":
            own = {"purge_step": images_seen + 1}
        case "WandbLogger":
            own = {"name": folder.name, "id": _wandb_id(folder), "save_dir": settings.config["outputs"]}
        case "MLFlowLogger":
            os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")  # its default blocks for minutes
            os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
            own = {"run_name": folder.name, "tags": dict.fromkeys(settings.tags, "true")}
            own["tracking_uri"] = os.environ.get("MLFLOW_TRACKING_URI")
            if node.get("tracking_uri") is None and own["tracking_uri"] is None:
                if set("?#%") & set(str(folder)):
                    expected = "a folder without ?, # and % in its path, which the address of a database cannot name"
                    raise UserError(f"logger.{name}", folder, expected, f"logger.{name}.tracking_uri=sqlite:///FILE")
                own["tracking_uri"] = f"sqlite:///{folder / 'mlflow.db'}"
                own["artifact_location"] = str(folder / "mlflow")
    return {key: value for key, value in own.items() if node.get(key) is None}


def _wandb_id(folder: Path) -> str:
    """The id of the run in W&B, which is kept in the run folder: a resumed run continues there."""
    file = folder / "wandb.id"
    found = file.read_text(errors="replace") if file.is_file() else ""
    if not re.fullmatch(r"[0-9a-f]{12}", found):
        found = uuid.uuid4().hex[:12]
        file.write_text(found)
    return found


def start(trainer: Trainer, hyperparameters: dict[str, Any]) -> None:
    """Opens the files and connections of the loggers, and logs flat, plain values.

    Raises:
        UserError: for a logger of another package that does not start.
    """
    for logger in list(trainer.loggers):
        try:
            if isinstance(logger, TensorBoardLogger):
                _each(trainer, [logger], lambda one: one.experiment)
            else:
                logger.log_hyperparams(hyperparameters)
        except Exception as error:
            name = type(logger).__name__
            raise UserError(
                "logger", name, f"a logger that can start: {first_line(error)}", _OFFLINE.get(name)
            ) from error
        _guard(logger)


_OFFLINE = {"WandbLogger": "logger.wandb.offline=true, or wandb login"}  # when the service cannot be reached


def _guard(logger: Any) -> None:
    """Lets the end of a logger fail with a warning: Lightning calls it after training."""
    finalize = logger.finalize

    def guarded(status: str) -> None:
        try:
            finalize(status)
        except Exception as error:
            log.warning("%s did not end: %s", type(logger).__name__, first_line(error))

    logger.finalize = guarded


def log_metrics(trainer: Trainer, values: dict[str, float], step: int) -> None:
    """Adds a point to each curve, by its name."""
    _each(trainer, trainer.loggers, lambda logger: logger.log_metrics(values, step=step))


def log_image(trainer: Trainer, name: str, image: Tensor, step: int) -> None:
    """Shows an image, uint8 (C, H, W), in every logger that has images."""

    def add(logger: Any) -> None:
        if isinstance(logger, TensorBoardLogger):
            logger.experiment.add_image(name, image, step)
        elif isinstance(logger, MLFlowLogger):
            logger.experiment.log_image(logger.run_id, to_pillow(image), key=name, step=step)
        elif hasattr(logger, "log_image"):
            logger.log_image(key=name, images=[to_pillow(image)], step=step)

    _each(trainer, trainer.loggers, add)


def log_gif(trainer: Trainer, name: str, file: Path, step: int) -> None:
    """Shows an animation in every logger that has them."""

    def add(logger: Any) -> None:
        if isinstance(logger, TensorBoardLogger):  # which plays an encoded image; its own add_video needs moviepy
            image = Summary.Image(encoded_image_string=file.read_bytes())
            add_summary(logger, Summary(value=[Summary.Value(tag=name, image=image)]), step)
        elif isinstance(logger, MLFlowLogger):
            logger.experiment.log_artifact(logger.run_id, str(file), name)
        elif hasattr(logger, "log_video"):
            logger.log_video(key=name, videos=[str(file)], step=step, format=["gif"])

    _each(trainer, trainer.loggers, add)


def finish(trainer: Trainer, hyperparameters: dict[str, Any], final: dict[str, float] | None, step: int) -> None:
    """Completes the files of the loggers.

    final: the metrics at the end of the run, which TensorBoard shows beside the hyperparameters; None for a run that
        was stopped. The experiment summary that Lightning would write is omitted: with it, TensorBoard shows all runs
        by the settings of the first one; without it, by the settings of all.
    """

    def complete(logger: Logger) -> None:
        if isinstance(logger, TensorBoardLogger) and final is not None:
            from torch.utils.tensorboard.summary import hparams  # slow to import

            _, begin, end = hparams(hyperparameters, {})
            for summary in (begin, end):
                add_summary(logger, summary)
            logger.log_metrics(final, step=step)
            logger.hparams.update(hyperparameters)  # for the file that `save` writes
        logger.save()

    _each(trainer, trainer.loggers, complete)


def _each(trainer: Trainer, loggers: list[Logger], call: Callable[[Any], object]) -> None:
    """Calls `call` with each logger. One that fails is dropped with a warning: TensorBoard's does not recover from a
    full disk, and a service that cannot be reached costs its curves, not the run."""
    for logger in loggers:
        try:
            call(logger)
        except Exception as error:
            if isinstance(logger, TensorBoardLogger | CsvTable) and not _cannot_write(error):
                raise
            log.warning("%s stops: %s. The run continues.", type(logger).__name__, first_line(error.__cause__ or error))
            trainer.loggers = [other for other in trainer.loggers if other is not logger]


def _cannot_write(error: Exception) -> bool:
    """Lightning's TensorBoardLogger raises ValueError from an OSError. TensorBoard opens only paths in UTF-8."""
    return isinstance(error, OSError | ValueError) and isinstance(
        error.__cause__ or error, OSError | UnicodeEncodeError
    )
