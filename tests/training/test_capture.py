"""Captured steps, with a recorder for CPUs: they train as steps that are not captured, or are not used."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import Callback
from torch import Tensor

from genimg.checkpoints.read import load_checkpoint
from genimg.common.errors import UserError
from genimg.common.run_folder import RunFolder
from genimg.models.gan import GAN
from genimg.training import setup
from genimg.training.callbacks.step_graph import StepGraph, make_capturable
from genimg.training.capture import CapturedSteps, Recorder
from tests.trained import SMALL, run_folder
from tests.training import tape

SHORT = [
    *SMALL, "data.batch_size=16", "logger=none", "callbacks=none", "budget.minutes=null", "trainer.precision=32-true",
]  # fmt: skip
STEPS = 40


@pytest.fixture
def captures(monkeypatch: pytest.MonkeyPatch) -> list[CapturedSteps]:
    """Captures the steps of the runs that a test trains, and collects what captures them."""
    return capture_with(tape.record, monkeypatch)


def capture_with(record: Recorder, monkeypatch: pytest.MonkeyPatch) -> list[CapturedSteps]:
    made: list[CapturedSteps] = []

    class Collecting(StepGraph):
        passive = False

        def on_train_start(self, *args: Any) -> None:
            super().on_train_start(*args)
            if self.steps is not None:
                made.append(self.steps)

    monkeypatch.setattr(setup, "StepGraph", partial(Collecting, record=record))
    return made


def trained(folder: Path, *words: str, callbacks: list[Callback] | None = None) -> dict[str, Any]:
    run_folder(folder, *SHORT, f"budget.images={16 * STEPS}", *words, callbacks=callbacks or [])
    return load_checkpoint(RunFolder(folder).last)


def assert_close(captured: dict[str, Any], plain: dict[str, Any]) -> None:
    """Learning rates of captured steps are float32, so the last bits may differ."""
    assert captured["images_seen"] == plain["images_seen"]
    for name, weight in plain["model"].items():
        torch.testing.assert_close(captured["model"][name], weight, rtol=1e-3, atol=1e-4, msg=name)
    for ours, theirs in zip(captured["optimizers"], plain["optimizers"], strict=True):
        assert [group.keys() for group in ours["param_groups"]] == [group.keys() for group in theirs["param_groups"]]


class StopAfter(Callback):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        trainer.should_stop = batch_idx == self.step


def test_a_captured_run_that_is_stopped_and_resumed_trains_as_one_that_is_not(
    captures: list[CapturedSteps], tmp_path: Path
) -> None:
    straight = trained(tmp_path / "straight")
    stopped = trained(tmp_path / "stopped", callbacks=[StopAfter(STEPS // 2)])
    assert 0 < stopped["images_seen"] < straight["images_seen"]
    resumed = trained(tmp_path / "stopped", f"resume={tmp_path / 'stopped'}")
    assert len(captures) == 3 and all(steps.repeated > 5 for steps in captures)
    assert_close(resumed, straight)


def test_the_step_count_of_a_restored_optimizer_moves_to_the_device_of_the_weights() -> None:
    weight = torch.nn.Parameter(torch.zeros(2, device="meta"))
    optimizer = torch.optim.Adam([weight])
    optimizer.state[weight] = {"step": torch.tensor(3.0), "exp_avg": torch.zeros(2, device="meta")}
    make_capturable(optimizer)
    assert {value.device.type for value in optimizer.state[weight].values()} == {"meta"}


@pytest.mark.parametrize(
    "words",
    [
        ["model.augmentation=[translation,cutout,color]", "model.conditional=true"],
        ["model.augmentation=ada", "model.augmentation_p=adaptive", "model.augmentation_ramp=1000"],
        ["model.augmentation=ada", "model.augmentation_p=[0,0.5]", "model.padding=circular"],
        ["model.objective=wasserstein", "model.n_critic=2"],
        ["model.penalty=first_order", "model.lr_warmup=0.5"],
        ["model/network=dcgan"],
        ["model/network=resnet", "model.conditional=true"],
        ["model/network=stylegan2", "model.path_length_every=2"],
        ["model/network=r3gan", "model.group_width=4", "model.beta2=0.9"],
    ],
    ids=" ".join,
)
def test_captured_steps_train_as_steps_do(words: list[str], captures: list[CapturedSteps], tmp_path: Path) -> None:
    captured = trained(tmp_path / "captured", *words)
    assert captures[0].failure is None and captures[0].repeated > 0
    assert_close(captured, trained(tmp_path / "plain", *words, "trainer.graph=false"))


def test_a_step_that_reads_the_clock_as_a_number_is_not_captured(
    captures: list[CapturedSteps], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    def scaled(self: GAN, count: int) -> Tensor:
        return (1 + self.progress) * torch.randn(count, self.latent_dim)

    monkeypatch.setattr(GAN, "draw_latents", scaled)
    with caplog.at_level(logging.WARNING):
        captured = trained(tmp_path / "captured")
    assert captures[0].repeated == 0 and "differs from a step by" in caplog.text
    assert_close(captured, trained(tmp_path / "plain", "trainer.graph=false"))


def test_a_step_that_cannot_be_recorded_is_not_captured(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    def fail(step: Any) -> Any:
        step()
        raise RuntimeError("operation not permitted when stream is capturing")

    made = capture_with(fail, monkeypatch)
    with caplog.at_level(logging.WARNING):
        captured = trained(tmp_path / "captured")
    assert made[0].repeated == 0 and "operation not permitted" in caplog.text
    assert_close(captured, trained(tmp_path / "plain", "trainer.graph=false"))


class ReadsGradients(Callback):
    def on_after_backward(self, trainer: Any, pl_module: Any) -> None: ...


@pytest.mark.parametrize(
    ("words", "callbacks", "reason"),
    [
        (["model=vae"], [], "the steps of VAE cannot be captured"),
        (["model.generator_optimizer._target_=torch.optim.SGD", "~model.generator_optimizer.betas"], [], "SGD cannot"),
        ([], [ReadsGradients()], "ReadsGradients uses on_after_backward"),
        (["model.beta2=[0.5,0.9]"], [], "model.beta2 changes"),
        (["trainer.deterministic=true"], [], "a resumed run is exact"),
    ],
)
def test_what_cannot_be_captured_is_trained_as_it_is_unless_a_graph_is_required(
    words: list[str], callbacks: list[Callback], reason: str, captures: list[CapturedSteps], tmp_path: Path
) -> None:
    trained(tmp_path / "auto", *words, "budget.images=32", callbacks=callbacks)
    assert not captures
    with pytest.raises(UserError, match=reason) as mistake:
        trained(tmp_path / "required", *words, "budget.images=32", "trainer.graph=true", callbacks=callbacks)
    assert mistake.value.key == "trainer.graph"


def test_a_graph_requires_a_gpu(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="auto or false: there is no GPU"):
        trained(tmp_path / "run", "budget.images=32", "trainer.graph=true")
