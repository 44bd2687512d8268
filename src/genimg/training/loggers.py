"""The loggers of a run: each of them gets the curves, the sheets, the animations and the hyperparameters."""

import logging
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hydra.errors import InstantiationException
from pytorch_lightning import Trainer
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.loggers.logger import DummyLogger, Logger
from tensorboard.compat.proto.summary_pb2 import Summary  # pyright: ignore[reportAttributeAccessIssue]
from torch import Tensor

from genimg.common.build import Builder
from genimg.common.errors import UserError, first_line
from genimg.common.ranks import rank
from genimg.common.services import RunFacts, service_named, service_of
from genimg.sampling.images.files import to_pillow
from genimg.training.callbacks.csv_table import CsvTable
from genimg.training.lightning_api import add_summary
from genimg.training.settings import TrainSettings

log = logging.getLogger(__name__)


def build_loggers(settings: TrainSettings, builder: Builder, images_seen: int) -> list[Logger]:
    """Returns the loggers on rank 0, which alone writes; on other ranks one that does nothing, if there are any.

    Raises:
        UserError: for a logger whose package is missing, and one of a service that does not start.
    """
    if rank():
        return [DummyLogger()] if settings.logger else []
    run = RunFacts(settings.run_dir.absolute(), settings.config["outputs"], settings.tags)
    state = random.getstate()
    random.seed()  # Comet draws the name of a file, which a resumed run with the same seed would replace
    try:
        return [_build(name, node, builder, run, images_seen) for name, node in settings.logger.items()]
    finally:
        random.setstate(state)


def _build(name: str, given: dict[str, Any], builder: Builder, run: RunFacts, images_seen: int) -> Logger:
    key, service = f"logger.{name}", service_named(given["_target_"])
    node = service.completed(given, key, run)
    if given["_target_"].endswith(".TensorBoardLogger") and given.get("purge_step") is None:
        node = {**node, "purge_step": images_seen + 1}  # hides what an earlier session wrote after that
    try:
        logger = builder.build(node, key, "logger")
    except InstantiationException as error:
        cause = error.__cause__ or error
        if not (service.package or isinstance(cause, ImportError)):
            raise
        expected = "an installed package" if isinstance(cause, ImportError) else "a logger that can start"
        raise UserError(key, given["_target_"], f"{expected}: {first_line(cause)}", service.hint(cause)) from error
    if not isinstance(logger, Logger):
        raise UserError(f"{key}._target_", type(logger).__name__, "a logger of Lightning")
    return logger


def start(trainer: Trainer, hyperparameters: dict[str, Any], folder: Path) -> None:
    """Opens the files and connections of the loggers, and logs flat, plain values. folder: of the run.

    Raises:
        UserError: for a logger of another package that does not start.
    """
    for logger in list(trainer.loggers):
        try:
            if isinstance(logger, TensorBoardLogger):
                _each(trainer, [logger], lambda one: one.experiment)
            else:
                service_of(logger).start(logger, hyperparameters, folder)
        except Exception as error:
            name, expected = type(logger).__name__, f"a logger that can start: {first_line(error)}"
            raise UserError("logger", name, expected, service_of(logger).hint(error)) from error


def log_metrics(trainer: Trainer, values: dict[str, float], step: int) -> None:
    """Adds a point to each curve, by its name."""
    _each(trainer, trainer.loggers, lambda logger: logger.log_metrics(values, step=step))


def log_image(trainer: Trainer, name: str, image: Tensor, step: int) -> None:
    """Shows an image, uint8 (C, H, W), in every logger that has images."""

    def add(logger: Any) -> None:
        if isinstance(logger, TensorBoardLogger):
            logger.experiment.add_image(name, image, step)
        else:
            service_of(logger).log_image(logger, name, to_pillow(image), step)

    _each(trainer, trainer.loggers, add)


def log_gif(trainer: Trainer, name: str, file: Path, step: int) -> None:
    """Shows an animation in every logger that has them."""

    def add(logger: Any) -> None:
        if isinstance(logger, TensorBoardLogger):  # which plays an encoded image; its own add_video needs moviepy
            image = Summary.Image(encoded_image_string=file.read_bytes())
            add_summary(logger, Summary(value=[Summary.Value(tag=name, image=image)]), step)
        else:
            service_of(logger).log_gif(logger, name, file, step)

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


def end(trainer: Trainer, status: str) -> None:
    """Ends the loggers. Lightning would do it without `_each`: a logger that fails then would end the run.

    status: `success` or `failed`.
    """
    for logger in trainer.loggers:
        try:
            service_of(logger).end(logger, status)
        except Exception as error:
            log.warning("%s did not end: %s", type(logger).__name__, first_line(error))
    trainer.loggers = []


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
