"""What training uses of Lightning and TensorBoard that is private or not typed. No other module may use it."""

import logging
import warnings
from collections.abc import Iterable
from typing import Any

from pytorch_lightning import Callback, Trainer
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.strategies import StrategyRegistry

from genimg.common.errors import UserError, first_line

VERIFIED = ("2.5", "2.6")  # releases of Lightning with which the tests pass


def disable_signal_handling(trainer: Trainer) -> None:
    """Leaves signals to `callbacks/signals.py`.

    Lightning would ask all processes before each step whether one received a signal, and wait for the GPU to answer;
    the clock asks after each step. Lightning's own SIGTERM handler would send messages from within a step.
    """
    trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor = lambda: None
    trainer._signal_connector.register_signal_handlers = lambda: None


def add_summary(logger: TensorBoardLogger, summary: Any, step: int | None = None) -> None:
    """Writes a summary protobuf to TensorBoard, for which SummaryWriter has no public method."""
    logger.experiment._get_file_writer().add_summary(summary, step)


def strategy_names() -> list[str]:
    """Returns the strategies that Lightning knows by name, without those that start processes: launch/ does that."""
    names = StrategyRegistry.available_strategies()
    return sorted(name for name in names if not any(part in name for part in ("spawn", "fork", "notebook")))


def others(trainer: Trainer) -> list[Callback]:
    """The callbacks of other packages: Lightning's, such as EarlyStopping, and the user's."""
    callbacks: list[Callback] = trainer.callbacks  # pyright: ignore[reportAttributeAccessIssue]
    return [one for one in callbacks if _is_other(one)]


def refused(callbacks: Iterable[Callback], error: Exception) -> Exception:
    """The UserError for Lightning's refusal of callbacks of other packages; the error itself without any."""
    names = [type(one).__name__ for one in callbacks if _is_other(one)]
    if not names:
        return error
    return UserError("callbacks", ", ".join(names), f"callbacks that this run can have: {first_line(error)}")


def _is_other(callback: Callback) -> bool:
    return not type(callback).__module__.startswith("genimg.")


def silence() -> None:
    """Hides Lightning's advice: it is about settings that this project chooses itself."""
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    logging.getLogger("lightning_fabric").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"(pytorch_lightning|lightning_fabric)\..*")
