"""Restores optimizers from a checkpoint, which may be untrusted or of another configuration."""

import copy
import logging
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from genimg.common.errors import UserError

log = logging.getLogger(__name__)


def restore(optimizers: Sequence[Optimizer], states: Sequence[dict[str, Any]], reconfigured: bool) -> None:
    """Loads the state of each optimizer. With the same configuration, training continues bit for bit.

    Args:
        reconfigured: the model's configuration has changed. Learning rates and other settings are then those of the new
            one, and an optimizer that cannot use its state starts without it.

    Raises:
        UserError: if the configuration is the same and an optimizer cannot use its state.
    """
    if len(optimizers) != len(states):
        raise UserError("resume", f"a checkpoint of {len(states)} optimizers", f"the model's {len(optimizers)}")
    for number, (optimizer, state) in enumerate(zip(optimizers, states, strict=True)):
        fresh = optimizer.state_dict()
        given = {**state, "param_groups": fresh["param_groups"]} if reconfigured else state
        try:
            _load(optimizer, given)
        except Exception as error:  # an optimizer may raise any type for an invalid state
            name, reason = type(optimizer).__name__, str(error).strip().splitlines() or [type(error).__name__]
            if not reconfigured:
                expected = f"a state that {name} can use: {reason[0]}"
                raise UserError("resume", f"optimizer {number} of the checkpoint", expected) from error
            log.warning("optimizer %d, %s, starts without its earlier state: %s", number, name, reason[0])
            optimizer.load_state_dict(fresh)


def _load(optimizer: Optimizer, state: dict[str, Any]) -> None:
    """Loads a state after checking that it has the entries, shapes and types of a fresh one, and allows a step.

    Shapes are checked before the step, because torch's fused kernels read past the end of a tensor that is too small.
    """
    optimizer.load_state_dict({**state, "state": {}})
    _try_step(optimizer)
    fresh = {weight: dict(entries) for weight, entries in optimizer.state.items()}
    optimizer.load_state_dict(copy.deepcopy(state))
    for weight, given in optimizer.state.items():
        for name, value in fresh[weight].items():
            if _kind(given.get(name)) != _kind(value):
                raise ValueError(f"its {name} is {_kind(given.get(name))}, expected {_kind(value)}")
    _try_step(optimizer)
    optimizer.load_state_dict(state)


def _kind(value: object) -> str:
    if isinstance(value, Tensor):
        return f"{value.dtype} of shape {tuple(value.shape)}"
    return type(value).__name__


def _try_step(optimizer: Optimizer) -> None:
    """Takes a step with zero gradients and restores the weights. Raises what the optimizer raises."""
    for group in optimizer.param_groups:
        group["lr"] = 1.0 * group.get("initial_lr", group["lr"])  # as the model does before each step
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    before = [weight.detach().clone() for weight in weights]
    try:
        for weight in weights:
            weight.grad = torch.zeros_like(weight)
        optimizer.step(lambda: 0.0)
    finally:
        with torch.no_grad():
            for weight, value in zip(weights, before, strict=True):
                weight.copy_(value)
                weight.grad = None
