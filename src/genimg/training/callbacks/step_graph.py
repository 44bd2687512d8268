"""Captures the training steps of a run on a GPU, if its model, optimizers and callbacks allow it."""

import logging
from typing import Any, ClassVar

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.utilities.model_helpers import is_overridden
from torch import Tensor
from torch.optim import Optimizer

from genimg.common.errors import UserError
from genimg.models.base import CompleteSteps, GenerativeModel
from genimg.training.capture import CapturedSteps, CudaGraphs, Recorder
from genimg.training.machine import Machine

log = logging.getLogger(__name__)

#: Lightning's hooks within a step, which a repeated step does not call.
HOOKS = ("on_before_backward", "on_after_backward", "on_before_optimizer_step", "on_before_zero_grad")


class StepGraph(Callback):
    """Replaces `training_step` by `CapturedSteps` while a run trains.

    Args:
        machine: `graph` false captures nothing; true raises UserError where `auto` would not capture.
        record: records a step; None = as a CUDA graph.
    """

    passive: ClassVar[bool] = False

    def __init__(self, model: GenerativeModel, machine: Machine, record: Recorder | None = None) -> None:
        self.model, self.machine, self.record = model, machine, record
        self.steps: CapturedSteps | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Installs the captured steps, after the optimizers have been restored."""
        if self.machine.graph is False:
            return
        reason = self._obstacle(trainer)
        if reason is not None:
            if self.machine.graph is True:
                raise UserError("trainer.graph", True, f"auto or false: {reason}")
            if self.machine.accelerator == "gpu":
                log.info("graph     none: %s", reason)
            return
        for optimizer in self.model.optimizer_list():
            make_capturable(optimizer)
        self.steps = CapturedSteps(self.model, self.record or CudaGraphs())
        object.__setattr__(self.model, "training_step", self.steps)
        log.info("graph     training steps are captured")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.steps is not None:
            del self.model.training_step

    def _obstacle(self, trainer: Trainer) -> str | None:
        """Why steps cannot be captured, or None."""
        if self.machine.accelerator != "gpu" and self.record is None:
            return "there is no GPU"
        if self.machine.deterministic:
            return "with trainer.deterministic, a resumed run is exact"
        if self.machine.scaled:
            return "with 16-mixed, each step asks whether its gradients are finite"
        if self.machine.processes > 1:
            return "several processes exchange gradients within a step"
        if not isinstance(self.model, CompleteSteps):
            return f"the steps of {type(self.model).__name__} cannot be captured"
        if self.machine.accumulate_grad_batches > 1:
            return "a step of several batches computes images twice"
        for optimizer in self.model.optimizer_list():
            if "capturable" not in optimizer.defaults:
                return f"{type(optimizer).__name__} cannot be captured"
        if self._betas_follow_the_clock():
            return "torch's optimizers read betas as numbers, and model.beta2 changes"
        callbacks: list[Callback] = trainer.callbacks  # pyright: ignore[reportAttributeAccessIssue]
        for callback in callbacks:
            if used := [hook for hook in HOOKS if is_overridden(hook, callback, Callback)]:
                return f"{type(callback).__name__} uses {used[0]}"
        return None

    def _betas_follow_the_clock(self) -> bool:
        """Whether the model changes the betas of its optimizers as it trains."""
        model, seen, progress = self.model, self.model.images_seen, self.model.progress
        found = []
        for at in (0.0, 1.0):
            model.set_clock(seen, at)
            found.append([group.get("betas") for one in model.optimizer_list() for group in one.param_groups])
        model.set_clock(seen, progress)
        return found[0] != found[1]


def make_capturable(optimizer: Optimizer) -> None:
    """Turns the learning rates into tensors, and moves what counts steps to the device of the weights.

    A restored optimizer has its count on the CPU, where a step that is not captured needs it. `state_dict` still
    contains what such a step needs.
    """
    for weight, state in optimizer.state.items():
        state.update({name: value.to(weight.device) for name, value in state.items() if isinstance(value, Tensor)})
    capturable = [group["capturable"] for group in optimizer.param_groups]
    for group in optimizer.param_groups:
        group["lr"] = torch.tensor(group["lr"], device=group["params"][0].device)
        group["capturable"] = True

    def restore(_: Optimizer, state: dict[str, Any]) -> None:
        for group, before in zip(state["param_groups"], capturable, strict=True):
            group.update(lr=float(group["lr"]), capturable=before)

    optimizer.register_state_dict_post_hook(restore)
