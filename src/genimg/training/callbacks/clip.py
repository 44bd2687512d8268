"""Limits the gradients of each optimizer, as the Trainer of Lightning does for models that it optimises itself."""

from typing import ClassVar

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch.optim import Optimizer


class ClipGradients(Callback):
    """Limits gradients before each optimizer step, after they were averaged over the processes.

    Args:
        limit: the largest norm of all gradients of an optimizer, or the largest absolute value of each.
        algorithm: `norm` or `value`.
    """

    passive: ClassVar[bool] = False

    def __init__(self, limit: float, algorithm: str) -> None:
        self.limit, self.algorithm = limit, algorithm

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        weights = [weight for group in optimizer.param_groups for weight in group["params"]]
        if self.algorithm == "norm":
            torch.nn.utils.clip_grad_norm_(weights, self.limit)
        else:
            torch.nn.utils.clip_grad_value_(weights, self.limit)
