"""Metrics of the EMA weights on held-out data."""

from typing import ClassVar

import torch
from pytorch_lightning import Trainer
from torch import Tensor

from genimg.common.noise import Noise
from genimg.training.callbacks.base import Measured, Measurement

_SEED = 1234  # of every validation of every run, so that values compare
_SHARE = 1 / 100  # of the items trained; an RNN draws each several times, at three times the cost of training
_FEWEST = 32  # with fewer, the value is mostly noise; rather validate less often


class Validation(Measurement):
    """The model's own metrics on held-out items. Uses its own random generator.

    Args:
        times: validations per run, at most.
        num_images: held-out items, at most; fewer in a run that sees few images (`Clock.due_items`).
    """

    passive: ClassVar[bool] = False

    def __init__(self, times: int, num_images: int) -> None:
        self.times, self.num_images = times, num_images

    def after_step(self, trainer: Trainer) -> None:
        if count := self.context.clock.due_items(self.times, self.num_images, self.share_of_each(_SHARE), _FEWEST):
            self.run_measurement(trainer, count)

    def measure(self, num_images: int) -> Measured:
        """Returns means over the first `num_images` held-out items; each item has the same weight."""
        model = self.context.model
        sums: dict[str, Tensor] = {}
        count = 0
        for batch in self.context.validation_batches(num_images):
            noise = Noise(_SEED, batch["indices"].cpu(), model.device)
            for name, value in model.evaluate(batch, noise).items():
                sums[name] = sums.get(name, torch.zeros((), device=model.device)) + value.float().sum()
            count += len(batch["images"])
        return Measured({name: float(total / count) for name, total in sums.items()}, count)
