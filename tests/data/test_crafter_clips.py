"""Clips of Crafter: reproducible, complete, with actions that move the picture, and never over other files."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from genimg.common.errors import UserError
from genimg.config.cross_checks import check_crafter
from genimg.data.actions import read_actions
from genimg.data.crafter_clips import CrafterSettings, render
from genimg.data.frame_folder import FrameFolder
from tests.conftest import Answer

installed = pytest.mark.skipif(importlib.util.find_spec("crafter") is None, reason="crafter is not installed")


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@installed
def test_clips_are_a_function_of_the_seed_and_are_read_with_their_actions(tmp_path: Path) -> None:
    for name, count, seed in (("a", 3, 0), ("b", 1, 0), ("c", 1, 1)):
        render(CrafterSettings(str(tmp_path / name), num_clips=count, num_frames=6, seed=seed))
    first, again, other = (files(tmp_path / name / "00000") for name in "abc")
    assert len(first) == 6 and first == again != other
    windows = FrameFolder(str(tmp_path / "a"), num_frames=6, actions=True).load("train", (3, 64, 64))
    assert len(windows) == 3
    assert any(name.startswith("move_") for name in windows.action_names)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "c"]  # nothing temporary


@installed
def test_a_move_shifts_the_picture_against_the_player(tmp_path: Path) -> None:
    """The view follows the player: a move to the right shows the cells 7 pixels further left."""
    render(CrafterSettings(str(tmp_path / "a"), num_clips=3, num_frames=20, seed=3))
    actions = read_actions(tmp_path / "a")
    better = []
    for clip, taken in actions.of_clips.items():
        images = [np.asarray(Image.open(path), float) for path in sorted((tmp_path / "a" / clip).glob("*.png"))]
        for frame, number in taken.items():
            step = {"move_left": 7, "move_right": -7}.get(actions.names[number])
            if step is not None:
                before, after = images[frame][:48], images[frame + 1][:48]
                errors = [np.abs(np.roll(before, s, axis=1) - after)[:, 8:-8].mean() for s in (step, -step)]
                better.append(errors[0] < errors[1])
    assert len(better) > 8
    assert np.mean(better) > 0.7  # some moves are blocked


@installed
def test_a_folder_with_files_is_refused_and_kept(tmp_path: Path, command: Callable[..., Answer]) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a.txt").write_text("mine")
    answer = command("crafter", "out=mine", "num_clips=1")
    assert answer.code == 2 and "out: got mine" in answer.err and not answer.imported
    assert files(tmp_path / "mine") == {"a.txt": b"mine"}


@pytest.mark.parametrize(("out", "found", "key"), [(None, True, "out"), ("new", False, "task")])
def test_what_is_missing_is_one_message(
    out: str | None, found: bool, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("genimg.config.cross_checks.find_spec", lambda name: object() if found else None)
    with pytest.raises(UserError) as mistake:
        check_crafter({"out": out, "num_frames": 16})
    assert mistake.value.key == key
    assert found or "genimg-train[crafter]" in str(mistake.value)
