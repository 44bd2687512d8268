"""The EMA: what it averages, how fast, and that it restores the weights."""

from typing import Any, ClassVar, cast

import pytest
import torch
from torch import nn

from genimg.models.base import GenerativeModel
from genimg.training.callbacks.clock import Budget, Clock
from genimg.training.callbacks.ema import EMA
from genimg.training.settings import EMASettings


class Model(GenerativeModel):
    """Two weights, one of them averaged, and a counter."""

    ema_prefixes: ClassVar[tuple[str, ...]] = ("generator.",)

    def __init__(self) -> None:
        super().__init__()
        self.generator = nn.Linear(1, 1, bias=False)
        self.generator.register_buffer("count", torch.tensor(0))
        self.other = nn.Linear(1, 1, bias=False)
        nn.init.zeros_(self.generator.weight)

    networks = evaluate = sample = cast(Any, None)


def averaged(
    half_life: float | list[float] = 0.0, ramp: float = 1.0, images_seen: int = 0, sigma_rel: list[float] | None = None
) -> tuple[EMA, Model, Clock]:
    """The EMA of a weight that was 0 and is 1 from now on."""
    model, clock = Model(), Clock(Budget(10**6, None), step_size=10)
    ema = EMA(model, clock, EMASettings(half_life, ramp, sigma_rel))
    ema.on_fit_start(cast(Any, None), model)
    nn.init.ones_(model.generator.weight)
    clock.images_seen = images_seen
    return ema, model, clock


def steps(ema: EMA, count: int) -> None:
    for _ in range(count):
        ema.clock.advance(10, seconds=0.0)
        ema.update()


def value(ema: EMA) -> float:
    return averages(ema)[ema.chosen]["generator.weight"].item()


def averages(ema: EMA) -> dict[str, dict[str, torch.Tensor]]:
    state = ema.state_dict()
    return {state["chosen"]: state["weights"], **state["others"]}


def test_the_weight_of_an_old_value_halves_after_the_half_life() -> None:
    ema, _, _ = averaged(half_life=100, ramp=1.0, images_seen=100_000)  # long after the ramp
    steps(ema, 20)  # 200 images
    assert value(ema) == pytest.approx(0.75)


def test_early_in_a_run_the_half_life_is_a_share_of_the_images_seen() -> None:
    ema, _, _ = averaged(half_life=10**9, ramp=0.5, images_seen=70)
    steps(ema, 1)  # half-life 40, four batches
    assert value(ema) == pytest.approx(0.5)


def test_the_half_life_goes_from_its_first_to_its_last_value_during_the_run() -> None:
    found = []
    for images_seen in (0, 500_000, 999_960):
        ema, _, _ = averaged(half_life=[0, 80], ramp=1.0, images_seen=images_seen)
        ema.clock.images_seen += 40 - 10
        steps(ema, 1)  # an update after 40 images
        found.append(value(ema))
    assert found == pytest.approx([1, 0.5, 1 - 0.5**0.5], abs=1e-3)


def width(**settings: Any) -> float:
    """The standard deviation of the times of a run that an average contains, as a share of the run."""
    moments = []
    for power in (1, 2):
        ema, model, clock = averaged(**settings)
        for step in range(4000):
            nn.init.constant_(model.generator.weight, ((step + 1) / 4000) ** power)
            clock.advance(10, seconds=0.0)
            ema.update()
        moments.append(value(ema))
    return (moments[1] - moments[0] ** 2) ** 0.5


@pytest.mark.parametrize("sigma", [0.05, 0.1, 0.25])
def test_a_power_function_has_the_width_that_was_asked_for(sigma: float) -> None:
    assert width(sigma_rel=[sigma]) == pytest.approx(sigma, rel=0.02)


@pytest.mark.parametrize(("ramp", "sigma"), [(0.0386, 0.05), (0.05, 0.063), (0.0873, 0.1)])
def test_a_half_life_that_grows_with_the_run_is_a_power_function(ramp: float, sigma: float) -> None:
    assert width(half_life=10**9, ramp=ramp) == pytest.approx(sigma, rel=0.02)


def test_several_averages_are_kept_applied_and_restored_by_name() -> None:
    ema, model, clock = averaged(images_seen=1000, sigma_rel=[0.05, 0.2])
    steps(ema, 4)
    narrow, wide = (averages(ema)[name]["generator.weight"].item() for name in ("0.05", "0.2"))
    assert 1 > narrow > wide > 0, "the wide one remembers more of the 0 before"
    for name, expected in (("0.05", narrow), ("0.2", wide)):
        with ema.applied(name):
            assert model.generator.weight.item() == expected
    ema.chosen = "0.2"
    again = EMA(model, clock, EMASettings(0.0, 1.0, [0.05, 0.2]))
    again.load_state_dict(ema.state_dict())
    again.on_fit_start(cast(Any, None), model)
    assert again.chosen == "0.2"
    assert averages(again) == averages(ema)


def test_the_average_continues_after_a_change_of_the_batch_size() -> None:
    ema, _, _ = averaged(half_life=40, ramp=1.0, images_seen=100_005)  # never a multiple of four batches
    steps(ema, 8)
    assert value(ema) == pytest.approx(0.75)


def test_the_last_step_of_a_run_updates_the_average() -> None:
    ema, _, clock = averaged(half_life=30, ramp=1.0, images_seen=30)
    ema.update()
    assert value(ema) == 0
    clock.budget = Budget(30, None)
    ema.update()
    assert value(ema) == pytest.approx(0.5)


def test_only_the_named_parts_are_averaged_and_counters_are_copied() -> None:
    ema, model, _ = averaged(100, 1.0, images_seen=30)
    cast(torch.Tensor, model.generator.count).fill_(7)
    steps(ema, 1)
    (average,) = averages(ema).values()
    assert average.keys() == {"generator.weight", "generator.count"}
    assert average["generator.count"].item() == 7


def test_applied_loads_the_average_and_restores_the_weights() -> None:
    ema, model, _ = averaged(100, 1.0)
    with ema.applied():
        assert model.generator.weight.item() == 0 and not model.training and not torch.is_grad_enabled()
    assert model.generator.weight.item() == 1 and model.training
