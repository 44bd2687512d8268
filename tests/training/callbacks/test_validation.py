"""Validation costs little of a run."""

import time
from pathlib import Path

import pytest

from tests.trained import run_folder
from tests.training.measured import TimedValidation


@pytest.mark.slow
def test_it_costs_less_than_a_twentieth_of_a_run_of_the_slowest_model(tmp_path: Path) -> None:
    """Compares processor times, because other work on the machine slows one more than the other."""
    spent = TimedValidation.seconds
    spent.clear()
    words = ["model=rnn", "budget.images=3200", "logger=none", "~callbacks.samples"]
    started = time.process_time()
    target = "callbacks.validation._target_=tests.training.measured.TimedValidation"
    run_folder(tmp_path / "run", *words, target)
    seconds = time.process_time() - started
    assert spent and sum(spent) < 0.05 * seconds, (spent, seconds)
