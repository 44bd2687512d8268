"""model.fit=auto in the worker: real trials of small networks, and the choice from made-up speeds."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pytorch_lightning import Trainer

from genimg.common.errors import UserError
from genimg.common.settings import Node
from genimg.common.widths import CHOICE
from genimg.training import fit as train
from genimg.training.dry_run import WARM_UP, StepTimer, shortened
from genimg.training.machine import configure
from genimg.training.probe import Trials, probe
from genimg.training.settings import TrainSettings
from genimg.training.setup import build_run
from tests.training.test_fit import config


def composed(folder: Path, *words: str) -> dict[str, Any]:
    """The configuration that the worker gets, with two candidates besides the default width 8."""
    nodes = [config(folder, *words, f"model.width={width}")["model"] for width in (4, 8, 16)]
    default = config(folder, *words, "model.width=8", "model.fit=auto", "budget.minutes=1")
    return default | {"candidates": nodes}


def prepared(folder: Path, *words: str) -> tuple[TrainSettings, list[Node]]:
    found = composed(folder, *words)
    return TrainSettings.from_config(found), found["candidates"]


def choice(folder: Path) -> dict[str, int]:
    return json.loads((folder / CHOICE).read_text())


def test_the_worker_times_widths_and_leaves_its_choice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train.run(composed(tmp_path)) == 0
    assert choice(tmp_path)["width"] in (4, 8, 16)
    assert choice(tmp_path)["batch_size"] == 16
    assert not (tmp_path / "samples").exists(), "only steps were trained"


@pytest.mark.parametrize(("fast", "width"), [(10.0, 4), (100_000 / 60, 8), (1e6, 16)])
def test_the_choice_follows_the_speeds(
    fast: float, width: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Trials, "_measure", lambda self, width: fast)
    settings, candidates = prepared(tmp_path)
    assert probe(settings, candidates, configure(settings.trainer)) == 0
    assert choice(tmp_path) == {"width": width, "batch_size": 16}


def test_a_limit_of_images_counts_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Trials, "_measure", lambda self, width: 1e6)
    settings, candidates = prepared(tmp_path)
    settings = replace(settings, budget=replace(settings.budget, images=30_000))
    assert probe(settings, candidates, configure(settings.trainer)) == 0
    assert choice(tmp_path)["width"] == 4


def test_a_gpu_is_filled_before_its_width_is_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Speeds of a GPU that is idle up to batches of 128; the trials themselves would need one."""
    monkeypatch.setattr(Trials, "_measure", lambda self, width: min(self.data.batch_size, 128) * 1e3 / width)
    settings, candidates = prepared(tmp_path)
    settings = replace(settings, data=settings.data | {"batch_size": 64})
    machine = replace(configure(settings.trainer), accelerator="gpu")
    assert probe(settings, candidates, machine) == 0
    assert choice(tmp_path) == {"width": 16, "batch_size": 128}


def test_a_signal_ends_the_trials_without_a_choice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(timer: StepTimer, trainer: Trainer) -> None:
        timer.steps += 1
        if timer.steps == 1:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(StepTimer, "after_step", interrupt)
    assert train.run(composed(tmp_path)) == 130
    assert not (tmp_path / CHOICE).exists()


def test_ctrl_c_before_the_first_step_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lightning answers it with exit code 1."""
    monkeypatch.setattr(StepTimer, "on_train_start", lambda *_: os.kill(os.getpid(), signal.SIGINT))
    before = signal.getsignal(signal.SIGINT)
    try:
        with pytest.raises(KeyboardInterrupt):
            train.run(composed(tmp_path))
    finally:
        signal.signal(signal.SIGINT, before)  # Lightning ignores it from then on


def test_a_width_that_its_network_refuses_is_left_out_but_not_the_default(tmp_path: Path) -> None:
    words = ("model/network=r3gan", "model.group_width=16")
    settings, candidates = prepared(tmp_path, *words)
    refused = config(tmp_path, *words, "model.width=12")["model"]
    trials = Trials(settings, [*candidates, refused], configure(settings.trainer), seconds=20)
    assert trials.speed(12) is None, "16 channels of a group do not divide 24"
    trials.default = 12
    with pytest.raises(UserError, match="group_width"):
        trials.speed(12)


def test_no_wider_network_is_tried_when_the_time_is_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Trials, "_measure", lambda self, width: 1.0)
    settings, candidates = prepared(tmp_path)
    trials = Trials(settings, candidates, configure(settings.trainer), seconds=0)
    assert [trials.speed(width) for width in (4, 8, 16)] == [1, 1, None]


@pytest.mark.parametrize(("limit", "steps"), [(float("inf"), WARM_UP + 3), (0.0, 2)])
def test_a_timer_ends_after_its_steps_or_its_seconds(limit: float, steps: int, tmp_path: Path) -> None:
    settings, _ = prepared(tmp_path)
    timer = StepTimer(3, limit)
    trainer, run = build_run(shortened(settings, tmp_path), configure(settings.trainer), None, [timer])
    trainer.fit(run.model, datamodule=run.data)
    assert timer.steps == steps
    assert timer.speed == pytest.approx((steps - timer.warm_up) * 16 / timer.seconds)
    assert timer.speed > 0
