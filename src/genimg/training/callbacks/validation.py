"""Figures on held-out data, of the average weights, from random numbers of their own."""

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor

from genimg.models.base import Batch, GenerativeModel
from genimg.training.callbacks.clock import Clock
from genimg.training.callbacks.find import find
from genimg.training.callbacks.measuring import Measured, measure

_SEED = 1234  # of every validation of every run: figures are compared, so their draws must be the same
_SHARE = 0.1  # of the items trained meanwhile: an RNN draws each several times, at 1.5 times the cost of training on it


class Validation(Callback):
    """The model's own figures over held-out items.

    Training is bit for bit the same with it or without it.

    Args:
        times: how often in a run, at most.
        num_images: at most this many held-out items, and few in a run that sees few images (`Clock.due_items`).
    """

    def __init__(self, times: int, num_images: int) -> None:
        self.times, self.num_images = times, num_images
        self.seconds_spent = 0.0

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if count := find(trainer, Clock).due_items(self.times, self.num_images, _SHARE):
            self.seconds_spent += measure(trainer, pl_module, partial(self.look, count))

    def look(self, num_images: int, trainer: Trainer, model: GenerativeModel) -> Measured:
        """Means over the first `num_images` held-out items, each item counting once."""
        generator = torch.Generator(model.device).manual_seed(_SEED)
        sums: dict[str, Tensor] = {}
        count = 0
        for batch in held_out(trainer, model, num_images):
            for name, value in model.evaluate(batch, generator).items():
                sums[name] = sums.get(name, torch.zeros((), device=model.device)) + value.float().sum()
            count += len(batch["images"])
        return Measured({name: float(total / count) for name, total in sums.items()}, count)


def held_out(trainer: Trainer, model: GenerativeModel, num_images: int) -> Iterator[Batch]:
    """The first validation items, at most `num_images`."""
    data: Any = trainer.datamodule  # pyright: ignore[reportAttributeAccessIssue]
    return first_items(data, data.val_dataloader(), model, num_images)


def first_items(data: Any, batches: Iterable[Batch], model: GenerativeModel, num_images: int) -> Iterator[Batch]:
    """Batches up to `num_images` items in all, normalised and on the model's device."""
    for batch in batches:
        count = min(num_images, len(batch["images"]))
        cut = {name: value[:count] if isinstance(value, Tensor) else value for name, value in batch.items()}
        yield data.on_after_batch_transfer(data.transfer_batch_to_device(cut, model.device, 0), 0)
        num_images -= count
        if num_images == 0:
            return
