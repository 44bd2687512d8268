"""A run with `trainer.profiler` writes where its time went."""

import json
from pathlib import Path

import pytest

from genimg.training import fit as train
from tests.training.test_fit import config

RUN = ["model=vae", "budget.images=128"]


@pytest.mark.parametrize("name", ["simple", "advanced"])
def test_a_table_of_times_is_in_the_run_folder(name: str, tmp_path: Path) -> None:
    assert train.run(config(tmp_path, *RUN, f"trainer.profiler={name}")) == 0
    assert "training_step" in (tmp_path / "fit-profile.txt").read_text()


@pytest.mark.slow
def test_a_trace_can_be_loaded(tmp_path: Path) -> None:
    assert train.run(config(tmp_path, *RUN, "trainer.profiler=pytorch")) == 0
    (trace,) = tmp_path.glob("*.pt.trace.json")
    names = {event.get("name") for event in json.loads(trace.read_text())["traceEvents"]}
    assert "aten::convolution" in names
    assert "aten::convolution" in (tmp_path / "fit-profile.txt").read_text()


def test_the_operation_that_made_a_nan_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["model.likelihood=bernoulli", "trainer.detect_anomaly=true"]
    monkeypatch.setattr(
        "genimg.models.variational.gaussian_kl", lambda mean, log_var: (-mean.square() - 1).sqrt().sum(1)
    )
    with pytest.raises(RuntimeError, match="SqrtBackward"):
        train.run(config(tmp_path, *RUN, *words))
