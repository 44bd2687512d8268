"""trainer.accumulate_grad_batches: a step sees several batches, one after another, in the memory of one."""

from collections.abc import Callable
from typing import cast

from torch import Tensor

from genimg.common.errors import UserError
from genimg.models.base import Batch, GenerativeModel
from genimg.models.parts import SplitsBatches, mean_metrics, split_batch

Metrics = dict[str, Tensor]
TrainingStep = Callable[[Batch, int], Metrics]


def accumulate(model: GenerativeModel, batches: int) -> None:
    """Makes the steps of a model split what they are given into `batches` parts, whose gradients they add up.

    The step is that of the whole, except for what a layer or a loss computes from several images: batch normalisation,
    and the optimal sigma of a Gaussian, see one part.

    Raises:
        UserError: for a model that takes its own optimizer steps and does not split batches.
    """
    if batches == 1:
        return
    if model.automatic_optimization:
        model.automatic_optimization = False
        step = in_parts(model, cast(TrainingStep, model.training_step), batches)
        model.training_step = step  # pyright: ignore[reportAttributeAccessIssue]
    elif isinstance(model, SplitsBatches) and model.splits_batches:
        model.parts = batches
    else:
        expected = f"1: {type(model).__name__} takes its own optimizer steps, on complete batches"
        raise UserError("trainer.accumulate_grad_batches", batches, expected, "or a smaller data.batch_size")


def in_parts(model: GenerativeModel, step: TrainingStep, parts: int) -> TrainingStep:
    """Returns a `training_step` for a model that takes the steps of its optimizers itself, from one that does not."""

    def training_step(batch: Batch, batch_idx: int) -> Metrics:
        optimizers = model.optimizers()
        optimizers = optimizers if isinstance(optimizers, list) else [optimizers]
        for optimizer in optimizers:
            optimizer.zero_grad()
        metrics = []
        for part in split_batch(batch, parts):
            metrics.append(step(part, batch_idx))
            model.manual_backward(metrics[-1]["loss"] / parts)
        for optimizer in optimizers:
            optimizer.step()
        return mean_metrics(metrics)

    return training_step
