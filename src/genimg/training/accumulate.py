"""trainer.accumulate_grad_batches: a step sees several batches, one after another, in the memory of one."""

from collections.abc import Callable
from types import MethodType
from typing import Any

from torch import Tensor

from genimg.common.errors import UserError
from genimg.models.base import Batch, GenerativeModel
from genimg.models.parts import SplitsBatches, mean_metrics, split_batch


def accumulate(model: GenerativeModel, batches: int) -> None:
    """Makes the steps of a model split what they are given into `batches` parts, whose gradients they add up.

    The gradients are those of the whole, except for what a layer or a loss computes from several images: batch
    normalisation, and the optimal sigma of a Gaussian, see one part. Running means, such as those of the lengths of
    paths and of a codebook, follow each part.

    Raises:
        UserError: for a model that takes its own optimizer steps and does not split batches.
    """
    if batches == 1:
        return
    if model.automatic_optimization:
        model.automatic_optimization = False
        # a method, so that a copy of the model takes its own steps
        model.training_step = MethodType(in_parts(batches), model)  # pyright: ignore[reportAttributeAccessIssue]
    elif isinstance(model, SplitsBatches):
        model.parts = batches
    else:
        expected = f"1: {type(model).__name__} takes its own optimizer steps, on complete batches"
        raise UserError("trainer.accumulate_grad_batches", batches, expected, "or a smaller data.batch_size")


def in_parts(parts: int) -> Callable[[GenerativeModel, Batch, int], dict[str, Tensor]]:
    """Returns a `training_step` with which a model takes the steps of its optimizers itself, from that of its class."""

    def training_step(self: GenerativeModel, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        optimizers = self.optimizers()
        optimizers = optimizers if isinstance(optimizers, list) else [optimizers]
        for optimizer in optimizers:
            optimizer.zero_grad()
        metrics = []
        for part in split_batch(batch, parts):
            results: Any = type(self).training_step(self, part, batch_idx)
            self.manual_backward(results["loss"] / parts)
            metrics.append({name: value.detach() for name, value in results.items()})
        for optimizer in optimizers:
            optimizer.step()
        return mean_metrics(metrics)

    return training_step
