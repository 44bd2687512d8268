"""Callbacks of other packages work beside ours: they see the metrics, act after measurements and are resumed."""

from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import EarlyStopping
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from genimg.checkpoints.read import load_checkpoint
from genimg.common.errors import UserError
from genimg.common.run_folder import RunFolder
from genimg.training.callbacks.base import Measured, Measurement
from tests.trained import run_folder
from tests.training.measured import Norms

RUN = [
    "model=vae", "data=digits", "data.image_size=8", "model.width=4", "model.latent_dim=4", "data.batch_size=16",
    "budget.images=640", "log_every_steps=1", "logger=csv", "callbacks=none",
]  # fmt: skip
LIGHTNING = "lightning.pytorch.callbacks"


class Constant(Measurement):
    """Measures the model's metric after every second step, always with the same value."""

    def after_step(self, trainer: Trainer) -> None:
        if self.context.clock.images_seen % 32 == 0:
            self.run_measurement(trainer, 8)

    def measure(self, num_images: int) -> Measured:
        return Measured({"frechet_random": 1.0}, num_images)


def callback(kind: str, **arguments: Any) -> list[str]:
    return [f"+callbacks.it._target_={kind}", *(f"+callbacks.it.{name}={value}" for name, value in arguments.items())]


def test_early_stopping_ends_the_run_by_a_metric_of_ours(tmp_path: Path) -> None:
    words = callback(f"{LIGHTNING}.EarlyStopping", monitor="val_frechet_random", patience=2)
    folder = RunFolder(run_folder(tmp_path / "run", *RUN, *words, callbacks=[Constant()]))
    assert load_checkpoint(folder.last)["images_seen"] == 96  # the first value is the best, and two are no better
    assert folder.report.exists() and folder.final.is_dir()


def test_its_state_is_resumed(tmp_path: Path) -> None:
    words = [*RUN, "budget.images=320"]
    one = EarlyStopping("val_frechet_random", patience=1000)
    folder = run_folder(tmp_path / "run", *words, callbacks=[Constant(), one])
    other = EarlyStopping("val_frechet_random", patience=1000)

    class Look(Callback):
        def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
            self.found = other.state_dict()

    look = Look()
    run_folder(folder, *RUN, f"resume={folder}", callbacks=[Constant(), other, look])
    assert look.found["wait_count"] == one.wait_count
    assert torch.equal(look.found["best_score"], one.best_score)
    assert one.best_score.isfinite()


def test_model_checkpoint_learning_rates_and_device_statistics(tmp_path: Path) -> None:
    words = [
        "logger=tensorboard",
        f"+callbacks.mc._target_={LIGHTNING}.ModelCheckpoint", "+callbacks.mc.monitor=val_frechet_random",
        f"+callbacks.lr._target_={LIGHTNING}.LearningRateMonitor",
        f"+callbacks.ds._target_={LIGHTNING}.DeviceStatsMonitor",
    ]  # fmt: skip
    folder = RunFolder(run_folder(tmp_path / "run", *RUN, *words, callbacks=[Constant()]))
    (saved,) = folder.tensorboard.glob("checkpoints/*.ckpt")  # where the logger is, as with Lightning
    weights = torch.load(saved, weights_only=True)["state_dict"]
    assert set(weights) == set(load_checkpoint(folder.last)["model"])
    shown = EventAccumulator(str(folder.tensorboard)).Reload().Tags()["scalars"]
    assert "lr-Adam" in shown
    assert any(name.startswith("DeviceStatsMonitor.") for name in shown)


@pytest.mark.parametrize("monitor", ["val_los", "frechet_random"])
def test_a_metric_that_the_run_does_not_have_is_reported(
    monitor: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    words = callback(f"{LIGHTNING}.EarlyStopping", monitor=monitor)
    run_folder(tmp_path / "run", *RUN, "budget.images=64", *words, callbacks=[Constant()])
    assert any(f"EarlyStopping never saw its metric {monitor}" in message for message in caplog.messages)


def test_what_a_callback_refuses_is_one_message(tmp_path: Path) -> None:
    words = callback(f"{LIGHTNING}.LearningRateMonitor")
    with pytest.raises(UserError, match="logger") as mistake:
        run_folder(tmp_path / "run", *RUN, "logger=none", *words)
    assert mistake.value.key == "callbacks"


def test_two_callbacks_of_one_state_are_one_message(tmp_path: Path) -> None:
    words = callback(f"{LIGHTNING}.EarlyStopping", monitor="val_elbo")
    with pytest.raises(UserError, match="EarlyStopping, EarlyStopping"):
        run_folder(tmp_path / "run", *RUN, *words, *(word.replace(".it.", ".other.") for word in words))


def test_a_state_of_other_types_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Odd(Callback):
        def state_dict(self) -> dict[str, Any]:
            return {"path": tmp_path}

    folder = RunFolder(run_folder(tmp_path / "run", *RUN, "budget.images=32", callbacks=[Odd()]))
    assert load_checkpoint(folder.last)["callbacks"] == {}
    assert any("Odd is not saved" in message for message in caplog.messages)


def test_patience_ends_the_run_and_counts_on_when_it_is_resumed(tmp_path: Path) -> None:
    words = [*RUN, "health.patience=4"]
    folder = RunFolder(run_folder(tmp_path / "run", *words, "budget.images=64", callbacks=[Constant()]))
    assert load_checkpoint(folder.last)["since_best"] == 1
    run_folder(folder.path, *words, f"resume={folder.path}", callbacks=[Constant()])
    ended = load_checkpoint(folder.last)
    assert (ended["since_best"], ended["images_seen"]) == (4, 160)


@pytest.mark.parametrize("model", ["gan", "vae"])
def test_gradients_are_limited_by_optimizer(model: str, tmp_path: Path) -> None:
    words = [*RUN, f"model={model}", "budget.images=64"]
    free, limited = Norms(), Norms()
    run_folder(tmp_path / "free", *words, callbacks=[free])
    limit = sorted(free.found)[0] / 2
    run_folder(tmp_path / "limited", *words, f"trainer.gradient_clip_val={limit}", callbacks=[limited])
    assert len(limited.found) == len(free.found)
    assert max(limited.found) <= limit * 1.001
