"""Checkpoint files are safe to open, and complete or unchanged."""

import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from genimg.checkpoints.read import load_checkpoint
from genimg.checkpoints.schema import FORMAT
from genimg.checkpoints.write import save_checkpoint
from genimg.common.errors import UserError

CHECKPOINT: dict[str, Any] = {
    "format": FORMAT,
    "model": {"w": torch.arange(3.0)},
    "ema": {},
    "images_seen": 1234,
    "clock": {"seconds": 1.0},
    "config": {"model": {"lr": 1e-4}, "data": {}},
    "data": {
        "classes": ["shirt", "trouser", "sneaker"],
        "actions": [],
        "image_shape": [1, 8, 8],
        "num_frames": None,
        "fingerprint": {"name": "garments", "count": 3, "shape": [1, 8, 8], "digest": ""},
    },
    "versions": {},
}


def test_a_checkpoint_is_loaded_as_it_was_saved(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "new" / "last.pt", CHECKPOINT)
    loaded = load_checkpoint(tmp_path / "new" / "last.pt")
    torch.testing.assert_close(loaded["model"], CHECKPOINT["model"])
    assert loaded["config"] == CHECKPOINT["config"]
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["last.pt"]


def test_a_crash_while_writing_leaves_the_older_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "last.pt"
    save_checkpoint(path, CHECKPOINT)

    def crash(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", crash)
    with pytest.raises(OSError, match="No space"):
        save_checkpoint(path, {**CHECKPOINT, "model": {"w": torch.zeros(3)}})
    monkeypatch.undo()
    torch.testing.assert_close(load_checkpoint(path)["model"]["w"], torch.arange(3.0))
    assert [file.name for file in tmp_path.iterdir()] == ["last.pt"]


def test_the_previous_checkpoint_is_kept_under_a_second_name(tmp_path: Path) -> None:
    last, previous = tmp_path / "last.pt", tmp_path / "previous.pt"
    for number in range(3):
        save_checkpoint(last, {**CHECKPOINT, "images_seen": number}, previous)
    assert (load_checkpoint(previous)["images_seen"], load_checkpoint(last)["images_seen"]) == (1, 2)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["last.pt", "previous.pt"]


def test_a_second_name_that_cannot_be_given_leaves_no_file(tmp_path: Path) -> None:
    last, previous = tmp_path / "last.pt", tmp_path / "previous.pt"
    previous.mkdir()  # it fails as on a full disk
    for _ in range(2):
        save_checkpoint(last, CHECKPOINT, previous)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["last.pt", "previous.pt"]


def test_a_flipped_bit_is_detected(tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    save_checkpoint(path, CHECKPOINT)
    content = bytearray(path.read_bytes())
    content[content.index(torch.arange(3.0).numpy().tobytes())] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match="damaged"):
        load_checkpoint(path)


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("evil-was-here",)


@pytest.mark.parametrize(
    "content",
    [b"", b"PK\x03\x04 cut short", pickle.dumps({"format": FORMAT, "model": Evil()})],
    ids=["empty", "truncated", "pickle with code"],
)
def test_a_damaged_or_malicious_file_is_an_error(
    tmp_path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.pt").write_bytes(content)
    with pytest.raises(UserError, match=r"bad\.pt"):
        load_checkpoint(tmp_path / "bad.pt")
    assert not (tmp_path / "evil-was-here").exists()


def test_another_format_and_other_content_are_errors(tmp_path: Path) -> None:
    torch.save({"state_dict": {}}, tmp_path / "foreign.pt")
    with pytest.raises(UserError, match="the keys format and model"):
        load_checkpoint(tmp_path / "foreign.pt")
    torch.save({**CHECKPOINT, "format": FORMAT + 1}, tmp_path / "newer.pt")
    with pytest.raises(UserError, match=f"format {FORMAT + 1}"):
        load_checkpoint(tmp_path / "newer.pt")


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        load_checkpoint(tmp_path / "none.pt")
