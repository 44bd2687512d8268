"""A run that ends at a time leaves cores to programs that start later, and takes them back."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from omegaconf import OmegaConf

from genimg.config.compose import Composer, without_hydra
from genimg.training import setup
from genimg.training.callbacks import threads
from genimg.training.callbacks.clock import Budget, Clock
from genimg.training.callbacks.threads import SharedProcessor, Usage, read_usage
from genimg.training.machine import configure
from genimg.training.settings import TrainSettings


@pytest.fixture(autouse=True)
def _same_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def used(others: list[float], most: int, start: int | None = None) -> list[int]:
    """The threads after each second, in which other programs use so many cores and this one all others."""
    now, total, own = 0.0, 0.0, 0.0
    torch.set_num_threads(start or most)
    callback = SharedProcessor(start or most, most, lambda: Usage(total, own), lambda: now)
    nothing: Any = None
    callback.on_train_batch_end(nothing, nothing, nothing, nothing, 0)
    found = []
    for cores in others:
        for _ in range(4):
            now, total, own = now + 0.25, total + most / 4, own + (most - cores) / 4
            callback.on_train_batch_end(nothing, nothing, nothing, nothing, 0)
        found.append(torch.get_num_threads())
    return found


def test_threads_follow_the_cores_that_are_free() -> None:
    assert used([0, 0, 1, 1, 0, 0, 0], most=2) == [2, 2, 1, 1, 1, 2, 2], "fewer at once, more after two readings"
    assert used([0.3, 0.7, 0.3, 0.7, 0.3], most=2) == [2, 1, 1, 1, 1], "a load that changes does not change the threads"
    assert used([2, 5, 9], most=8) == [6, 3, 1]
    assert used([1, 0, 0], most=2, start=1) == [1, 1, 2], "a run that started on a busy machine"


def test_the_usage_of_this_process_is_part_of_that_of_all() -> None:
    before = read_usage()
    sum(range(20_000_000))
    after = read_usage()
    own = after.own - before.own
    assert own > 0.1
    assert after.all - before.all > 0.8 * own - 0.05  # the system counts in hundredths of a second


def test_a_system_without_counters_keeps_the_threads(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(threads, "cpu_times", (tmp_path / "stat").read_text)
    torch.set_num_threads(2)
    seconds = iter(range(0, 100, 10))
    callback = SharedProcessor(2, 2, clock=lambda: float(next(seconds)))
    nothing: Any = None
    for _ in range(5):
        callback.on_train_batch_end(nothing, nothing, nothing, nothing, 0)
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize(
    ("words", "environment", "quota", "expected"),
    [
        ([], {}, math.inf, True),
        ([], {"OMP_NUM_THREADS": "1", "GENIMG_BUSY": "1"}, math.inf, True),
        ([], {"OMP_NUM_THREADS": "2"}, math.inf, False),
        ([], {}, 1.5, False),
        (["trainer.threads=2"], {}, math.inf, False),
        (["budget.images=64"], {}, math.inf, False),
        (["budget.steps=2"], {}, math.inf, False),
    ],
)
def test_a_run_that_would_repeat_or_whose_threads_are_chosen_keeps_them(
    words: list[str], environment: dict[str, str], quota: float, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OMP_NUM_THREADS", "GENIMG_BUSY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(setup, "cpu_quota", lambda: quota)
    composed = without_hydra(Composer("train").compose(["trainer=cpu", *words]))
    settings = TrainSettings.from_config(cast(dict[str, Any], OmegaConf.to_container(composed, resolve=True)))
    clock = Clock(Budget.from_settings(settings.budget, 100, 16), 16)
    found = setup.shared_processor(settings, configure(settings.trainer), clock)
    assert [type(one) for one in found] == [SharedProcessor] * expected
