"""The optimizers of a run that goes on: their state from a checkpoint, which may be a stranger's or an older one."""

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
    """Each optimizer goes on from its state; alike where nothing has changed, bit for bit.

    reconfigured: the model's configuration is not the one that the states were made with. Then the learning rates and
        other settings are those of the new one, and an optimizer that can do nothing with its state begins without.

    Raises:
        UserError: for states that these optimizers cannot go on from, where the configuration is the same.
    """
    if len(optimizers) != len(states):
        raise UserError("resume", f"a checkpoint of {len(states)} optimizers", f"the model's {len(optimizers)}")
    for number, (optimizer, state) in enumerate(zip(optimizers, states, strict=True)):
        fresh = optimizer.state_dict()
        settled = {**state, "param_groups": fresh["param_groups"]} if reconfigured else state
        try:
            _go_on(optimizer, settled)
        except Exception as error:  # whatever an optimizer raises for what it has not made
            name, reason = type(optimizer).__name__, str(error).strip().splitlines() or [type(error).__name__]
            if not reconfigured:
                expected = f"a state that {name} can go on from: {reason[0]}"
                raise UserError("resume", f"optimizer {number} of the checkpoint", expected) from error
            log.warning("optimizer %d, %s, begins without the state of the one before: %s", number, name, reason[0])
            optimizer.load_state_dict(fresh)


def _go_on(optimizer: Optimizer, state: dict[str, Any]) -> None:
    """Loads a state that has what a step makes of none, by shape and type, and that a step can be taken with.

    The shapes come first: torch's fused kernels read past the end of a tensor that is too small.
    """
    optimizer.load_state_dict({**state, "state": {}})
    _try_step(optimizer)
    made = {weight: dict(own) for weight, own in optimizer.state.items()}
    optimizer.load_state_dict(copy.deepcopy(state))
    for weight, given in optimizer.state.items():
        for name, value in made[weight].items():
            if _kind(given.get(name)) != _kind(value):
                raise ValueError(f"its {name} is {_kind(given.get(name))} in place of {_kind(value)}")
    _try_step(optimizer)
    optimizer.load_state_dict(state)


def _kind(value: object) -> str:
    if isinstance(value, Tensor):
        return f"{value.dtype} of shape {tuple(value.shape)}"
    return type(value).__name__


def _try_step(optimizer: Optimizer) -> None:
    """A step without a gradient, after which the weights are what they were; raises what the optimizer raises."""
    for group in optimizer.param_groups:
        group["lr"] = 1.0 * group.get("initial_lr", group["lr"])  # what the model does before each step
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
