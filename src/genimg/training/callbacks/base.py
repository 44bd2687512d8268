"""The base class of callbacks that use the other parts of a run, and the parts that it gives them."""

import math
import time
from abc import abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, cast

from pytorch_lightning import Callback, LightningModule, Trainer

from genimg.common.monitored import Monitored
from genimg.common.run_folder import RunFolder
from genimg.data.module import GenerativeData
from genimg.models.base import Batch, GenerativeModel
from genimg.training.callbacks.checkpoints import Checkpoints
from genimg.training.callbacks.clock import Clock
from genimg.training.callbacks.ema import EMA
from genimg.training.callbacks.metrics import Metrics
from genimg.training.lightning_api import others
from genimg.training.settings import TrainSettings


@dataclass(frozen=True)
class RunContext:
    """The parts of a training run, built by `training/setup.py`."""

    settings: TrainSettings
    folder: RunFolder
    data: GenerativeData
    model: GenerativeModel
    clock: Clock
    ema: EMA
    metrics: Metrics
    checkpoints: Checkpoints

    def validation_batches(self, num_images: int) -> Iterator[Batch]:
        """Yields at most `num_images` evenly spaced validation items, normalised and on the model's device.

        The items are the same on every number of devices: a data set may be sorted by class, so they are spaced.
        """
        return self.to_device(self.data.evenly_spaced("validation", num_images))

    def to_device(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """Yields the batches, normalised and on the model's device."""
        for batch in batches:
            moved = self.data.transfer_batch_to_device(batch, self.model.device, 0)
            yield self.data.on_after_batch_transfer(moved, 0)


class RunCallback(Callback):
    """A callback that uses the clock, metrics, checkpoints or EMA of its run.

    `context` is set before training starts. A callback of any other class receives nothing.
    """

    #: True for a class that changes no metric and no weight. Read from the source: every class states it as a literal.
    passive: ClassVar[bool] = False
    context: RunContext
    seconds_spent: float = 0.0

    def after_step(self, trainer: Trainer) -> None:
        """Called after each training step, when the clock has advanced."""

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.after_step(trainer)

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Adds the time spent in the block to `seconds_spent`."""
        started = time.monotonic()
        try:
            yield
        finally:
            self.seconds_spent += time.monotonic() - started


class Measured(NamedTuple):
    """Metrics, and the number of images or clips each is computed from. Values with different n do not compare."""

    metrics: dict[str, float]
    n: int


class Measurement(RunCallback):
    """A callback that computes metrics of the EMA weights on rank 0, for all ranks.

    Training is bit for bit the same with and without it, except that the metrics choose the best checkpoint, and the
    best of several averages of the weights.
    """

    passive: ClassVar[bool] = False

    @abstractmethod
    def measure(self, num_images: int) -> Measured:
        """Returns metrics of the weights that are in the model, from at most `num_images` images."""

    def run_measurement(self, trainer: Trainer, num_images: int) -> None:
        """Measures, writes the metrics and updates the best checkpoint. All ranks must call it.

        A measurement of the model's monitored metric measures all averages of the weights, and chooses the best.
        """
        run = self.context
        name, direction = run.model.monitor
        with self.timed():
            metrics, n = self._measure(trainer, num_images, run.ema.chosen)
            if name in metrics:
                metrics = self._choose(trainer, num_images, metrics)
        run.metrics.write(trainer, "val", metrics, n)
        if name in metrics:
            run.checkpoints.update_best(trainer, Monitored(name, metrics[name], direction, n))
        for callback in others(trainer):  # for them, a measurement is a validation
            monitor = getattr(callback, "monitor", None)
            if monitor is None or monitor in {f"val_{name}" for name in metrics} | run.metrics.trained:
                callback.on_validation_end(trainer, run.model)

    def share_of_each(self, share: float) -> float:
        """The part of a share of the images trained that one average of the weights may cost."""
        return share / len(self.context.ema.names)

    def _choose(self, trainer: Trainer, num_images: int, of_chosen: dict[str, float]) -> dict[str, float]:
        """Chooses the best average of the weights. Returns its metrics, and if there are several, the values of all."""
        ema, (name, direction) = self.context.ema, self.context.model.monitor
        found = {ema.chosen: of_chosen}
        found |= {one: self._measure(trainer, num_images, one).metrics for one in ema.names if one != ema.chosen}
        costs = {one: Monitored(name, metrics[name], direction, num_images).cost for one, metrics in found.items()}
        ema.chosen = min(costs, key=lambda one: (not math.isfinite(costs[one]), costs[one]))
        values = {f"{name}_{one}": found[one][name] for one in ema.names} if len(ema.names) > 1 else {}
        return {**found[ema.chosen], **values}

    def _measure(self, trainer: Trainer, num_images: int, average: str) -> Measured:
        """The metrics of one average of the weights, on all ranks."""
        with self.context.ema.applied(average), trainer.precision_plugin.forward_context():
            found = self.measure(num_images) if trainer.is_global_zero else None
        return cast(Measured, trainer.strategy.broadcast(found))
