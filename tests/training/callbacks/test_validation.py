"""Validation costs little of a run."""

import time
from pathlib import Path
from typing import Any

import pytest

from genimg.training.callbacks.base import Measured
from genimg.training.callbacks.validation import Validation
from tests.trained import run_folder


@pytest.mark.slow
def test_it_costs_less_than_a_twentieth_of_a_run_of_the_slowest_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compares processor times, because other work on the machine slows one more than the other."""
    spent: list[float] = []
    measure = Validation.measure

    def timed(*given: Any) -> Measured:
        started = time.process_time()
        found = measure(*given)
        spent.append(time.process_time() - started)
        return found

    monkeypatch.setattr(Validation, "measure", timed)
    started = time.process_time()
    run_folder(tmp_path / "run", "model=rnn", "budget.images=3200", "logger=none", "~callbacks.samples")
    seconds = time.process_time() - started
    assert spent and sum(spent) < 0.05 * seconds, (spent, seconds)
