"""Restored optimizers continue exactly, and refuse an invalid state."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import LBFGS, SGD, Adam, Optimizer, RMSprop

from genimg.common.errors import UserError
from genimg.training.callbacks.optimizers import restore

KINDS: list[Callable[[Any], Optimizer]] = [
    lambda weights: Adam(weights, lr=0.1, weight_decay=0.1),
    lambda weights: SGD(weights, lr=0.1, momentum=0.9),
    lambda weights: RMSprop(weights, lr=0.1),
    lambda weights: LBFGS(weights, lr=0.1),
]


def trained(make: Callable[[Any], Optimizer], steps: int) -> tuple[nn.Linear, Optimizer]:
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    optimizer = make(model.parameters())
    for _ in range(steps):
        step(model, optimizer)
    return model, optimizer


def step(model: nn.Linear, optimizer: Optimizer) -> None:
    def loss() -> float:
        optimizer.zero_grad()
        value = model(torch.eye(3)).square().sum()
        value.backward()
        return value.item()

    optimizer.step(loss)


@pytest.mark.parametrize("make", KINDS, ids=["Adam", "SGD", "RMSprop", "LBFGS"])
def test_a_restored_optimizer_continues_bit_for_bit(make: Callable[[Any], Optimizer]) -> None:
    straight, _ = trained(make, 4)
    stopped, optimizer = trained(make, 2)
    state = copy.deepcopy(optimizer.state_dict())
    model, again = trained(make, 0)
    model.load_state_dict(stopped.state_dict())
    restore([again], [state], reconfigured=False)
    assert torch.equal(model.weight, stopped.weight) and model.weight.grad is None
    for _ in range(2):
        step(model, again)
    assert torch.equal(model.weight, straight.weight)


def broken(change: Callable[[dict[str, Any]], object], fused: bool = False) -> dict[str, Any]:
    state = copy.deepcopy(trained(lambda weights: Adam(weights, lr=0.1, fused=fused), 1)[1].state_dict())
    change(state)
    return state


def moment(value: object) -> Callable[[dict[str, Any]], object]:
    return lambda state: state["state"][0].update(exp_avg=value)


BROKEN: dict[str, Callable[[dict[str, Any]], object]] = {
    "smaller": moment(torch.zeros(3)),
    "larger": moment(torch.zeros(5, 2, 3)),
    "many steps": lambda state: state["state"][0].update(step=torch.zeros(4, 4)),
    "a maximum": lambda state: (
        state["param_groups"][0].update(amsgrad=True),
        [one.update(max_exp_avg_sq=torch.zeros(1)) for one in state["state"].values()],
    ),
    "text": moment("text"),
    "missing": lambda state: state["state"][0].pop("exp_avg"),
    "no mapping": lambda state: state["state"].update({0: 1}),
    "rate of text": lambda state: state["param_groups"][0].update(lr="high"),
    "rate of text at the start": lambda state: state["param_groups"][0].update(initial_lr="high"),
    "weights": lambda state: state["param_groups"][0].update(params=[0]),
    "groups": lambda state: state.update(param_groups=[]),
}


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("name", BROKEN)
def test_an_invalid_state_is_an_error_and_keeps_the_weights(name: str, fused: bool) -> None:
    """Fused kernels do not check shapes: an invalid state would crash the process."""
    model, optimizer = trained(lambda weights: Adam(weights, lr=0.1, fused=fused), 0)
    before: Tensor = model.weight.detach().clone()
    with pytest.raises(UserError, match="optimizer 0 of the checkpoint"):
        restore([optimizer], [broken(BROKEN[name], fused)], reconfigured=False)
    assert torch.equal(model.weight, before)


def test_another_number_of_optimizers_is_an_error() -> None:
    with pytest.raises(UserError, match="2 optimizers"):
        restore([trained(KINDS[0], 0)[1]], [broken(lambda state: None)] * 2, reconfigured=False)


def test_a_new_configuration_sets_the_learning_rate_and_keeps_the_state() -> None:
    _, old = trained(KINDS[0], 2)
    model, new = trained(lambda weights: Adam(weights, lr=0.5), 0)
    restore([new], [old.state_dict()], reconfigured=True)
    assert (new.param_groups[0]["lr"], new.param_groups[0]["weight_decay"]) == (0.5, 0)
    assert new.state[model.weight]["step"] == 2


def test_another_class_of_optimizer_starts_without_a_state(caplog: pytest.LogCaptureFixture) -> None:
    _, old = trained(KINDS[0], 2)
    model, new = trained(KINDS[2], 0)
    before = model.weight.detach().clone()
    restore([new], [old.state_dict()], reconfigured=True)
    assert "RMSprop, starts without its earlier state" in caplog.text
    assert not new.state and torch.equal(model.weight, before)
    step(model, new)
