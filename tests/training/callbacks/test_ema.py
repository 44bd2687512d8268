"""The weight average: what it follows, how fast, and that it gives the weights back."""

from types import SimpleNamespace
from typing import Any, ClassVar, cast

import pytest
import torch
from torch import nn

from genimg.models.base import GenerativeModel
from genimg.training.callbacks.clock import Budget, Clock
from genimg.training.callbacks.ema import EMA


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


def followed(half_life: int, ramp: float, batch_size: int = 10) -> tuple[EMA, Model, Any, Clock]:
    average, model = EMA(half_life, ramp), Model()
    clock = Clock(Budget(10**6, None), batch_size)
    trainer = SimpleNamespace(callbacks=[clock, average])
    average.on_fit_start(cast(Any, trainer), model)
    return average, model, trainer, clock


def test_an_old_weight_counts_half_after_the_half_life() -> None:
    average, model, trainer, clock = followed(half_life=100, ramp=1.0)
    nn.init.ones_(model.generator.weight)
    clock.images_seen = 100_000  # long after the ramp
    for _ in range(20):  # 200 images
        clock.images_seen += 10
        average.on_train_batch_end(trainer, model, None, None, 0)
    assert average.state_dict()["generator.weight"].item() == pytest.approx(0.75)


def test_early_on_the_half_life_is_a_share_of_the_images_seen() -> None:
    average, model, trainer, clock = followed(half_life=10**9, ramp=0.5)
    nn.init.ones_(model.generator.weight)
    clock.images_seen = 80  # half-life 40, four batches
    average.on_train_batch_end(trainer, model, None, None, 0)
    assert average.state_dict()["generator.weight"].item() == pytest.approx(0.5)


def test_it_goes_on_where_another_batch_size_came_before() -> None:
    average, model, trainer, clock = followed(half_life=40, ramp=1.0)
    nn.init.ones_(model.generator.weight)
    clock.images_seen = 100_005  # never a multiple of four batches from here on
    for _ in range(8):
        clock.images_seen += 10
        average.on_train_batch_end(trainer, model, None, None, 0)
    assert average.state_dict()["generator.weight"].item() == pytest.approx(0.75)


def test_a_run_that_ends_between_two_updates_has_its_last_steps_in_the_average() -> None:
    average, model, trainer, clock = followed(half_life=30, ramp=1.0)
    nn.init.ones_(model.generator.weight)
    clock.images_seen = 30
    average.on_train_batch_end(trainer, model, None, None, 0)
    assert average.state_dict()["generator.weight"].item() == 0
    clock.budget = Budget(30, None)
    average.on_train_batch_end(trainer, model, None, None, 0)
    assert average.state_dict()["generator.weight"].item() == pytest.approx(0.5)


def test_it_follows_the_named_parts_only_and_copies_counters() -> None:
    average, model, trainer, clock = followed(100, 1.0)
    cast(torch.Tensor, model.generator.count).fill_(7)
    clock.images_seen = 40
    average.on_train_batch_end(trainer, model, None, None, 0)
    assert average.state_dict().keys() == {"generator.weight", "generator.count"}
    assert average.state_dict()["generator.count"].item() == 7


def test_applied_swaps_the_average_in_and_the_weights_back() -> None:
    average, model, _, _ = followed(100, 1.0)
    nn.init.ones_(model.generator.weight)
    with average.applied(model):
        assert model.generator.weight.item() == 0 and not model.training and not torch.is_grad_enabled()
    assert model.generator.weight.item() == 1 and model.training
