"""Metrics and gradients that are not finite stop the run, or roll it back with a lower learning rate."""

from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import Callback
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.summary.writer import event_file_writer

from genimg.checkpoints.read import load_checkpoint
from genimg.common.run_folder import RunFolder
from genimg.training import fit as train
from tests.training.test_fit import config, rows, same, untimed


class Break(Callback):
    """Makes a weight non-finite at a step of the first `attempts` attempts."""

    def __init__(self, attempts: int = 1) -> None:
        self.attempts = attempts

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        if batch_idx == 6 and self.attempts > 0:
            self.attempts -= 1
            with torch.no_grad():
                next(pl_module.generator.parameters()).fill_(float("nan"))


def test_a_non_finite_loss_stops_the_run_and_spares_the_checkpoint(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = ["budget.images=1600", "log_every_steps=5", "checkpoint.every_images=32"]
    assert train.run(config(tmp_path, *settings), [Break()]) == 1
    folder = RunFolder(tmp_path)
    assert "non-finite" in caplog.text and str(folder.last) in caplog.text
    checkpoint = load_checkpoint(folder.last)
    assert checkpoint["images_seen"] == 6 * 16
    assert all(tensor.isfinite().all() for tensor in checkpoint["model"].values())


class BreakGradient(Callback):
    """Makes the gradient of a step's last loss non-finite, once; the metrics of that step stay finite."""

    def __init__(self, images: int) -> None:
        self.images, self.done = images, False

    def on_after_backward(self, trainer: Any, pl_module: Any) -> None:
        if pl_module.images_seen == self.images and not self.done:
            for name, weight in pl_module.named_parameters():
                if weight.grad is not None and not name.startswith("discriminator."):  # whose step comes first
                    weight.grad.fill_(float("nan"))
                    self.done = True


@pytest.mark.parametrize(("model", "at"), [("vae", 96), ("vae", 144), ("gan", 144)])
def test_a_non_finite_gradient_reaches_no_checkpoint(
    model: str, at: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # 16 images per step: a checkpoint after each, and metrics of the samples after the one that begins at 144
    words = [f"model={model}", "budget.images=320", "checkpoint.every_images=16", "health.on_divergence=rollback"]
    words += ["callbacks.frechet_random.times=2", "callbacks.prior.times=2"]
    assert train.run(config(tmp_path, *words), [BreakGradient(at)]) == 0
    assert "weights became non-finite" in caplog.text and f"rollback  1 of 3: back to {at} images" in caplog.text
    folder = RunFolder(tmp_path)
    for file in (folder.last, folder.best):
        assert all(tensor.isfinite().all() for tensor in load_checkpoint(file)["model"].values())


@pytest.mark.parametrize(("breaks", "exit_code"), [(2, 0), (9, 1)])
def test_a_diverged_run_rolls_back_with_half_the_learning_rate_at_most_three_times(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, breaks: int, exit_code: int
) -> None:
    words = ["budget.images=640", "log_every_steps=5", "checkpoint.every_images=32", "health.on_divergence=rollback"]
    assert train.run(config(tmp_path, *words, "model.final_lr=1"), [Break(breaks)]) == exit_code
    assert caplog.text.count("rollback ") == min(breaks, 3)
    if exit_code == 0:
        lr = [row["lr"] for row in rows(tmp_path) if row["stage"] == "train"]
        assert lr[-1] == pytest.approx(lr[0] / 4) and load_checkpoint(RunFolder(tmp_path).last)["rollbacks"] == 2
        seen = [row["images_seen"] for row in rows(tmp_path) if row["stage"] == "train"]
        assert seen == sorted(set(seen)), "rows after the checkpoint are removed"


def test_a_run_that_diverges_before_its_first_checkpoint_restarts_with_half_the_learning_rate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    words = ["budget.images=320", "log_every_steps=5", "health.on_divergence=rollback", "model.final_lr=1"]
    words += ["logger=tensorboard"]
    # TensorBoard reads files of the same second in the order of their names, where 10 comes before 9
    monkeypatch.setattr(event_file_writer, "_global_uid", event_file_writer.AtomicCounter(0))
    assert train.run(config(tmp_path / "broken", *words), [Break()]) == 0
    assert "rollback  1 of 3: back to 0 images" in caplog.text
    assert train.run(config(tmp_path / "lower", *words, "model.lr=8e-4")) == 0
    ends = [load_checkpoint(RunFolder(tmp_path / name).last) for name in ("broken", "lower")]
    assert same(ends[0]["model"], ends[1]["model"]), "the same weights and noise as at half of 1.6e-3 from the start"
    assert ends[0]["rollbacks"] == 1
    assert untimed(tmp_path / "broken") == untimed(tmp_path / "lower"), "no row of the first attempt"
    events = EventAccumulator(str(RunFolder(tmp_path / "broken").tensorboard)).Reload()
    assert [event.step for event in events.Scalars("train/loss_g")] == [80, 160, 240, 320]


def test_a_setting_changed_on_resume_is_logged_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "genimg")
    assert train.run(config(tmp_path, "budget.images=160", "checkpoint.every_images=32")) == 0
    words = ["budget.images=640", "health.on_divergence=rollback", "model.lr=1e-3", "allow_changes=true"]
    assert train.run(config(tmp_path, *words, f"resume={tmp_path}"), [Break()]) == 0
    assert caplog.text.count("rollback ") == 1 and caplog.text.count("changed   model.lr") == 1
