"""How a run that goes on is measured: the average weights, by the first process, for all of them."""

import time
from collections.abc import Callable
from typing import NamedTuple, cast

from pytorch_lightning import LightningModule, Trainer

from genimg.common.monitored import Monitored
from genimg.models.base import GenerativeModel
from genimg.training.callbacks.checkpoints import Checkpoints
from genimg.training.callbacks.ema import EMA
from genimg.training.callbacks.find import find
from genimg.training.callbacks.metrics import Metrics


class Measured(NamedTuple):
    """Figures, and of how many images or clips each of them is: of other numbers they do not compare."""

    figures: dict[str, float]
    n: int


def measure(
    trainer: Trainer, pl_module: LightningModule, look: Callable[[Trainer, GenerativeModel], Measured]
) -> float:
    """Writes what `look` finds of the model with its average weights, and has the best checkpoint chosen by it. All
    processes have to call it. Returns the seconds it took.
    """
    started = time.monotonic()
    model = cast(GenerativeModel, pl_module)
    with find(trainer, EMA).applied(model), trainer.precision_plugin.forward_context():
        found = look(trainer, model) if trainer.is_global_zero else None
    figures, n = cast(Measured, trainer.strategy.broadcast(found))
    seconds = time.monotonic() - started
    find(trainer, Metrics).write(trainer, "val", figures, n)
    name, direction = model.monitor
    if name in figures:
        find(trainer, Checkpoints).on_measured(trainer, Monitored(name, figures[name], direction, n))
    return seconds
