"""The estimate of memory is that of the operations which are then done."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from genimg.models.memory import PeakMemory, peak_memory
from tests.trained import untrained


def test_only_what_is_kept_at_the_same_time_is_counted() -> None:
    with PeakMemory() as peak:
        first = torch.zeros(3000)
        view = first.view(2, 1500)  # no memory of its own
        del first, view
        second = torch.zeros(2000)
        third = second + 1
    assert peak.bytes == 4 * (2000 + 2000)
    assert len(third) == 2000


@pytest.mark.parametrize("model", ["gan", "vae", "draw"])
def test_the_estimate_is_that_of_the_samples_that_are_drawn(model: str) -> None:
    _, found = untrained(f"model={model}")

    def run(drawn: Any) -> None:
        with torch.no_grad():
            drawn.decode(torch.zeros(16, drawn.latent_dim))

    with PeakMemory() as peak:
        run(found)
    assert peak_memory(found, run) == peak.bytes > 0


def test_the_model_and_the_random_state_are_unchanged() -> None:
    _, found = untrained("model=vae")
    before = {name: tensor.clone() for name, tensor in found.state_dict().items()}
    state = torch.get_rng_state()

    def run(changed: Any) -> None:
        changed.decoder(torch.randn(4, changed.latent_dim), None).sum().backward()
        torch.optim.SGD(changed.parameters(), 1.0).step()

    assert peak_memory(found, run)
    assert all(torch.equal(tensor, before[name]) for name, tensor in found.state_dict().items())
    assert all(weight.grad is None for weight in found.parameters())
    assert torch.equal(torch.get_rng_state(), state)


def test_a_model_that_cannot_be_estimated_is_left_alone() -> None:
    _, found = untrained("model=vae")

    def run(_: Any) -> None:
        raise RuntimeError("its shapes depend on values")

    assert peak_memory(found, run) is None
