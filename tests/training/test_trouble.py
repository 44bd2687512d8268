"""What goes wrong in a run: checkpoints that are torn, a disk that is full."""

from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import Trainer
from torch.utils.tensorboard.writer import SummaryWriter

from genimg.checkpoints.read import load_checkpoint
from genimg.common.errors import UserError
from genimg.common.files import append_text
from genimg.common.run_folder import RunFolder
from genimg.training import fit as train
from genimg.training.callbacks import checkpoints, metrics
from genimg.training.callbacks.checkpoints import Checkpoints
from genimg.training.callbacks.clock import Clock
from genimg.training.callbacks.find import find
from tests.training.test_fit import config, rows


def test_a_killed_run_goes_on_from_its_best_where_there_is_no_last(tmp_path: Path) -> None:
    settings = ["budget.images=320", "log_every_steps=1", "logger=csv"]
    assert train.run(config(tmp_path, *settings)) == 0
    folder = RunFolder(tmp_path)
    folder.last.write_bytes(b"torn")
    best = load_checkpoint(folder.best)["images_seen"]
    assert train.run(config(tmp_path, *settings, f"resume={tmp_path}", "budget.images=352")) == 0
    seen = [row["images_seen"] for row in rows(tmp_path) if row["stage"] == "train"]
    assert best < 352 and seen == list(range(16, 353, 16))  # no gap, no double row
    table = (tmp_path / "metrics.csv").read_text().splitlines()
    assert table[0].startswith("images_seen,seconds,stage,")
    assert len(table) == 1 + len(rows(tmp_path))


def test_a_torn_last_checkpoint_is_told_and_the_one_before_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = RunFolder(tmp_path)
    assert train.run(config(tmp_path, "budget.images=320", "checkpoint.every_images=128")) == 0
    folder.best.unlink()
    before = load_checkpoint(folder.previous)["images_seen"]
    folder.last.write_bytes(folder.last.read_bytes()[:1000])
    assert train.newest_checkpoint(folder)["images_seen"] == before < 320
    assert "last.pt; expected: " in caplog.text and "it is damaged" in caplog.text
    assert "going on from an older one" in caplog.text


def test_a_torn_best_checkpoint_is_told_and_the_next_is_the_best(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = RunFolder(tmp_path)
    assert train.run(config(tmp_path, "budget.images=320")) == 0
    folder.best.write_bytes(folder.best.read_bytes()[:1000])
    assert train.run({**config(tmp_path, "budget.images=640"), "resume": str(tmp_path), "trust": []}) == 0
    assert "no best checkpoint to compare with" in caplog.text and "best.pt" in caplog.text
    assert 320 < load_checkpoint(folder.best)["images_seen"] <= 640


@pytest.mark.parametrize("part", ["optimizers", "ema", "processes"])
def test_a_checkpoint_that_a_run_cannot_go_on_from_is_a_message_and_nothing_is_lost(part: str, tmp_path: Path) -> None:
    assert train.run(config(tmp_path, "budget.images=64", "logger=tensorboard")) == 0
    folder = RunFolder(tmp_path)
    state = load_checkpoint(folder.last)
    if part == "optimizers":
        state[part][0]["state"][0]["exp_avg"] = torch.zeros(3)
    elif part == "ema":
        state[part] = {name: torch.zeros(2, 3, 5) for name in state[part]}
    else:
        folder.best.unlink()
        state[part][0]["random"] = torch.zeros(5)
    checkpoints.save_checkpoint(folder.last, state)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    settings = config(tmp_path, "budget.images=128", "logger=tensorboard", f"resume={tmp_path}")
    with pytest.raises(UserError) as mistake:
        train.run(settings)
    assert mistake.value.key == "resume"
    after = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path.name != "config.yaml"}
    assert after == {path: content for path, content in before.items() if path.name != "config.yaml"}


def test_a_disk_that_takes_no_checkpoint_is_not_said_to_have_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(path: Path, state: dict[str, Any], previous: Path | None = None) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoints, "save_checkpoint", full)
    assert train.run(config(tmp_path, "budget.images=96", "checkpoint.every_images=32")) == 1
    assert "tries again; there is no checkpoint yet" in caplog.text and "intact" not in caplog.text


def test_a_full_disk_is_told_once_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder, real = RunFolder(tmp_path), checkpoints.save_checkpoint

    def full_in_the_middle(path: Path, state: dict[str, Any], previous: Path | None = None) -> None:
        if 100 < state["images_seen"] < 300:
            raise OSError(28, "No space left on device")
        real(path, state, previous)

    monkeypatch.setattr(checkpoints, "save_checkpoint", full_in_the_middle)
    words = ["budget.images=400", "checkpoint.every_images=32", "callbacks.frechet_random.times=10"]
    assert train.run(config(tmp_path, *words)) == 0
    assert caplog.text.count("could not write last.pt") == 1
    assert caplog.text.count("could not write best.pt") <= 1
    assert caplog.text.count("tries again; the older checkpoints are intact") >= 1
    assert load_checkpoint(folder.last)["images_seen"] == 400
    lowest = min(
        row["frechet_random"]
        for row in rows(tmp_path)
        if "frechet_random" in row and not 100 < row["images_seen"] < 300
    )
    assert load_checkpoint(folder.best)["figures"]["best"] == pytest.approx(lowest)


def test_a_run_whose_end_no_disk_takes_has_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder, real = RunFolder(tmp_path), checkpoints.save_checkpoint

    def full_in_the_end(path: Path, state: dict[str, Any], previous: Path | None = None) -> None:
        if state["images_seen"] == 320:
            raise OSError(28, "No space left on device")
        real(path, state, previous)

    monkeypatch.setattr(checkpoints, "save_checkpoint", full_in_the_end)
    assert train.run(config(tmp_path, "budget.images=320", "checkpoint.every_images=160")) == 1
    assert "the end of the run is in no checkpoint" in caplog.text
    assert load_checkpoint(folder.last)["images_seen"] == 160
    monkeypatch.undo()
    assert train.run(config(tmp_path, "budget.images=320", f"resume={tmp_path}")) == 0
    assert load_checkpoint(folder.last)["images_seen"] == 320


def test_figures_that_cannot_be_written_are_written_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tries = []

    def full_at_first(path: Path, text: str) -> None:
        tries.append(text)
        if len(tries) < 5:
            raise OSError(28, "No space left on device")
        append_text(path, text)

    monkeypatch.setattr(metrics, "append", full_at_first)
    assert train.run(config(tmp_path, "budget.images=320", "log_every_steps=2")) == 0
    assert caplog.text.count("figures cannot be written") == 1
    trained = [row["images_seen"] for row in rows(tmp_path) if row["stage"] == "train"]
    assert trained == list(range(32, 321, 32))


def test_figures_that_wait_for_the_disk_outlive_a_kill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk refuses rows, takes the checkpoint after them, and the process is gone before the next row."""

    def full_in_the_middle(path: Path, text: str) -> None:
        if '"images_seen": 192' in text:
            raise OSError(28, "No space left on device")
        append_text(path, text)

    words = ["budget.images=320", "log_every_steps=2", "checkpoint.every_images=32"]
    with monkeypatch.context() as full:
        full.setattr(metrics, "append", full_in_the_middle)
        save_last = Checkpoints.save_last

        def then_killed(self: Checkpoints, trainer: Trainer) -> None:
            save_last(self, trainer)
            if find(trainer, Clock).images_seen == 192:
                raise MemoryError

        full.setattr(Checkpoints, "save_last", then_killed)
        with pytest.raises(MemoryError):
            train.run(config(tmp_path, *words))
    told = [row["images_seen"] for row in rows(tmp_path) if row["stage"] == "train"]
    assert told == list(range(32, 192, 32)) and load_checkpoint(RunFolder(tmp_path).last)["images_seen"] == 192
    assert train.run(config(tmp_path, *words, f"resume={tmp_path}")) == 0
    told = [row["images_seen"] for row in rows(tmp_path) if row["stage"] == "train"]
    assert told == list(range(32, 321, 32))


@pytest.mark.parametrize("line", ["{}", "[3]", '{"images_seen": "x"}'])
def test_figures_from_a_line_on_that_is_no_row_are_left_out_on_resume(line: str, tmp_path: Path) -> None:
    words = ["budget.images=64", "log_every_steps=2"]
    assert train.run(config(tmp_path, *words)) == 0
    table = RunFolder(tmp_path).metrics
    good = table.read_text().splitlines()[0]
    table.write_text(f"{good}\n{line}\n")
    assert train.run(config(tmp_path, *words, f"resume={tmp_path}", "budget.images=128")) == 0
    assert [row["images_seen"] for row in rows(tmp_path) if row["stage"] == "train"] == [32, 96, 128]


def test_a_disk_that_is_full_when_a_run_is_resumed_costs_tensorboard_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    words = ["logger=tensorboard", "budget.images=64"]
    assert train.run(config(tmp_path, *words)) == 0

    def full(self: object, *given: object, **named: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(SummaryWriter, "__init__", full)
    assert train.run(config(tmp_path, *words, f"resume={tmp_path}", "budget.images=128")) == 0
    assert caplog.text.count("TensorBoardLogger ends here") == 1
    assert load_checkpoint(RunFolder(tmp_path).last)["images_seen"] == 128
    assert (tmp_path / "samples" / "during" / "000000128.png").exists()


def test_an_optimizer_that_does_not_take_its_arguments_is_a_message(tmp_path: Path) -> None:
    words = ["model.generator_optimizer._target_=torch.optim.RMSprop"]
    with pytest.raises(UserError, match="betas") as caught:
        train.run(config(tmp_path, *words))
    assert "model.generator_optimizer" in str(caught.value)
