"""Damaged checkpoints and full disks."""

import errno
import io
import os
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import Callback
from torch.utils.tensorboard.writer import SummaryWriter

from genimg.checkpoints.read import load_checkpoint, load_newest
from genimg.checkpoints.write import save_checkpoint
from genimg.common.errors import UserError
from genimg.common.run_folder import RunFolder
from genimg.training import fit as train
from tests.training.test_fit import config, rows


def refuse_checkpoints(patch: pytest.MonkeyPatch, full: Callable[[int], bool]) -> None:
    """Lets the disk be full for last.pt and best.pt at the images seen for which `full` is true."""
    replace = os.replace

    def replace_or_fail(source: Path, target: Path) -> None:
        written = Path(target).name in ("last.pt", "best.pt")
        if written and full(torch.load(source, weights_only=True)["images_seen"]):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace(source, target)

    patch.setattr(os, "replace", replace_or_fail)


def refuse_metrics(patch: pytest.MonkeyPatch, full: Callable[[bytes], bool]) -> None:
    """Lets the disk be full for the texts appended to metrics.jsonl for which `full` is true."""

    class Disk(io.FileIO):
        def write(self, data: Any) -> int:
            if full(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return super().write(data)

    def open_metrics(file: Any, mode: str = "r", *given: Any, **named: Any) -> Any:
        if Path(str(file)).name == "metrics.jsonl" and mode == "ab":
            return Disk(file, mode)
        return real(file, mode, *given, **named)

    real = open
    patch.setattr("builtins.open", open_metrics)


def test_a_run_resumes_from_best_if_last_is_damaged(tmp_path: Path) -> None:
    settings = ["budget.images=320", "log_every_steps=1", "logger=csv"]
    assert train.run(config(tmp_path, *settings)) == 0
    folder = RunFolder(tmp_path)
    folder.last.write_bytes(b"torn")
    best = load_checkpoint(folder.best)["images_seen"]
    assert train.run(config(tmp_path, *settings, f"resume={tmp_path}", "budget.images=352")) == 0
    seen = [row["images_seen"] for row in rows(tmp_path) if row["stage"] == "train"]
    assert best < 352 and seen == list(range(16, 353, 16))  # no gap, no duplicate
    table = (tmp_path / "metrics.csv").read_text().splitlines()
    assert table[0].startswith("images_seen,seconds,stage,")
    assert len(table) == 1 + len(rows(tmp_path))


def test_a_run_resumes_from_previous_if_last_is_damaged_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = RunFolder(tmp_path)
    assert train.run(config(tmp_path, "budget.images=320", "checkpoint.every_images=128")) == 0
    folder.best.unlink()
    before = load_checkpoint(folder.previous)["images_seen"]
    folder.last.write_bytes(folder.last.read_bytes()[:1000])
    assert load_newest(folder)["images_seen"] == before < 320
    assert "last.pt; expected: " in caplog.text and "it is damaged" in caplog.text
    assert "resuming from an older checkpoint" in caplog.text


def test_a_damaged_best_checkpoint_is_replaced_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = RunFolder(tmp_path)
    assert train.run(config(tmp_path, "budget.images=320")) == 0
    folder.best.write_bytes(folder.best.read_bytes()[:1000])
    assert train.run({**config(tmp_path, "budget.images=640"), "resume": str(tmp_path), "trust": []}) == 0
    assert "no best checkpoint to compare with" in caplog.text and "best.pt" in caplog.text
    assert 320 < load_checkpoint(folder.best)["images_seen"] <= 640


@pytest.mark.parametrize("part", ["optimizers", "averages", "processes"])
def test_a_checkpoint_that_cannot_be_resumed_is_an_error_and_changes_no_file(part: str, tmp_path: Path) -> None:
    assert train.run(config(tmp_path, "budget.images=64", "logger=tensorboard")) == 0
    folder = RunFolder(tmp_path)
    state = load_checkpoint(folder.last)
    if part == "optimizers":
        state[part][0]["state"][0]["exp_avg"] = torch.zeros(3)
    elif part == "averages":
        state[part]["others"]["0.1"] = {name: torch.zeros(2, 3, 5) for name in state["ema"]}
    else:
        folder.best.unlink()
        state[part][0]["random"] = torch.zeros(5)
    save_checkpoint(folder.last, state)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    settings = config(tmp_path, "budget.images=128", "logger=tensorboard", f"resume={tmp_path}")
    with pytest.raises(UserError) as mistake:
        train.run(settings)
    assert mistake.value.key == "resume"
    after = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path.name != "config.yaml"}
    assert after == {path: content for path, content in before.items() if path.name != "config.yaml"}


def test_without_any_checkpoint_the_warning_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    refuse_checkpoints(monkeypatch, lambda images_seen: True)
    assert train.run(config(tmp_path, "budget.images=96", "checkpoint.every_images=32")) == 1
    assert "tries again; there is no checkpoint yet" in caplog.text and "intact" not in caplog.text


def test_a_full_disk_is_a_single_warning_and_saving_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = RunFolder(tmp_path)
    refuse_checkpoints(monkeypatch, lambda images_seen: 100 < images_seen < 300)
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
    assert load_checkpoint(folder.best)["metrics"]["val_frechet_random"] == pytest.approx(lowest)


def test_a_run_whose_last_checkpoint_cannot_be_written_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = RunFolder(tmp_path)
    refuse_checkpoints(monkeypatch, lambda images_seen: images_seen == 320)
    assert train.run(config(tmp_path, "budget.images=320", "checkpoint.every_images=160")) == 1
    assert "no checkpoint contains the end of the run" in caplog.text
    assert load_checkpoint(folder.last)["images_seen"] == 160
    monkeypatch.undo()
    assert train.run(config(tmp_path, "budget.images=320", f"resume={tmp_path}")) == 0
    assert load_checkpoint(folder.last)["images_seen"] == 320


def test_metrics_that_cannot_be_written_are_written_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tries = count(1)
    refuse_metrics(monkeypatch, lambda text: next(tries) < 5)
    assert train.run(config(tmp_path, "budget.images=320", "log_every_steps=2")) == 0
    assert caplog.text.count("metrics cannot be written") == 1
    trained = [row["images_seen"] for row in rows(tmp_path) if row["stage"] == "train"]
    assert trained == list(range(32, 321, 32))


class KillAt(Callback):
    """Ends the process, as far as it can be in a test, before the step after so many images."""

    def __init__(self, images: int) -> None:
        self.images = images

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        if pl_module.images_seen == self.images:
            raise MemoryError


def test_unwritten_metrics_survive_a_kill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk refuses rows and accepts the checkpoint after them; the process dies before the next row."""
    words = ["budget.images=320", "log_every_steps=2", "checkpoint.every_images=32"]
    with monkeypatch.context() as full:
        refuse_metrics(full, lambda text: b'"images_seen": 192' in text)
        with pytest.raises(MemoryError):
            train.run(config(tmp_path, *words), [KillAt(192)])
    seen = [row["images_seen"] for row in rows(tmp_path) if row["stage"] == "train"]
    assert seen == list(range(32, 192, 32)) and load_checkpoint(RunFolder(tmp_path).last)["images_seen"] == 192
    assert train.run(config(tmp_path, *words, f"resume={tmp_path}")) == 0
    seen = [row["images_seen"] for row in rows(tmp_path) if row["stage"] == "train"]
    assert seen == list(range(32, 321, 32))


def test_a_full_disk_on_resume_drops_tensorboard_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    words = ["logger=tensorboard", "budget.images=64"]
    assert train.run(config(tmp_path, *words)) == 0

    def full(self: object, *given: object, **named: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(SummaryWriter, "__init__", full)
    assert train.run(config(tmp_path, *words, f"resume={tmp_path}", "budget.images=128")) == 0
    assert caplog.text.count("TensorBoardLogger stops") == 1
    assert load_checkpoint(RunFolder(tmp_path).last)["images_seen"] == 128
    assert (tmp_path / "samples" / "during" / "000000128.png").exists()


def test_a_folder_that_is_not_utf8_drops_tensorboard_only(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    settings = config(tmp_path, f'run_dir="{folder}"', "logger=tensorboard", "budget.images=64")
    (tmp_path / "config.yaml").rename(folder / "config.yaml")
    assert train.run(settings) == 0
    assert caplog.text.count("TensorBoardLogger stops") == 1
    assert load_checkpoint(RunFolder(folder).last)["images_seen"] == 64
    assert (folder / "samples" / "during" / "000000064.png").exists()


def test_an_optimizer_that_does_not_accept_its_arguments_is_an_error(tmp_path: Path) -> None:
    words = ["model.generator_optimizer._target_=torch.optim.RMSprop"]
    with pytest.raises(UserError, match="betas") as caught:
        train.run(config(tmp_path, *words))
    assert "model.generator_optimizer" in str(caught.value)


@pytest.mark.parametrize("line", [b"[" * 100_000, b"{}", b"[3]", b'{"images_seen": "x"}', b"\xed\xa0\x80"])
def test_a_resume_keeps_the_rows_after_a_damaged_line_and_cuts_those_beyond_the_checkpoint(
    line: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert train.run(config(tmp_path, "budget.images=64", "log_every_steps=1")) == 0
    table = RunFolder(tmp_path).metrics
    first, *others = table.read_bytes().splitlines(keepends=True)
    beyond = b'{"images_seen": 9999, "seconds": 1, "stage": "train"}\n'
    damaged = line + b"\n"
    table.write_bytes(b"".join([first, damaged, *others, beyond, b'{"images_seen": 6']))
    assert train.run(config(tmp_path, "budget.images=96", "log_every_steps=1", f"resume={tmp_path}")) == 0
    content = table.read_bytes()
    assert content.startswith(b"".join([first, damaged, *others]))
    assert b"9999" not in content
    assert f"{table}: 1 damaged line is skipped, the first is line 2" in caplog.text
