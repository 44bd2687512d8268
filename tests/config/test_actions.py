"""The command checks the actions of a folder of clips before a run starts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from genimg.common.errors import UserError
from genimg.config.compose import Composer
from genimg.data.actions import FILE
from genimg.launch.session import check
from tests.conftest import Answer

TABLE = "clip,frame,action\n" + "".join(f"{clip},0,{name}\n" for clip, name in enumerate(["up", "left", "up"]))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for clip in range(3):
        (tmp_path / "clips" / str(clip)).mkdir(parents=True)
        for frame in range(2):
            Image.new("L", (8, 8)).save(tmp_path / "clips" / str(clip) / f"{frame}.png")
    (tmp_path / "clips" / FILE).write_text(TABLE)
    return tmp_path / "clips"


def words(folder: Path, *more: str) -> list[str]:
    return ["model=rnn", "data=frame_folder", f"data.root={folder}", *more]


@pytest.mark.parametrize(("actions", "count"), [("auto", 2), ("true", 2), ("false", 0)])
def test_the_number_of_actions_follows_from_the_data(actions: str, count: int, folder: Path) -> None:
    config = check(Composer("train"), words(folder, f"model.actions={actions}"))
    assert config.model.num_actions == config.model.dynamics.num_actions == count
    assert config.data.source.actions == (count > 0)


def test_without_a_file_auto_means_none(folder: Path) -> None:
    (folder / FILE).unlink()
    config = check(Composer("train"), words(folder))
    assert config.model.num_actions == 0 and not config.data.source.actions
    with pytest.raises(UserError, match="frame_folder has none"):
        check(Composer("train"), words(folder, "model.actions=true"))


def test_other_models_read_no_actions(folder: Path) -> None:
    (folder / FILE).write_text("damaged")
    config = check(Composer("train"), ["model=convlstm", *words(folder, "data.frame_stride=2")[1:]])
    assert not config.data.source.actions


@pytest.mark.parametrize("setting", ["data.frame_stride=2", "data.sheet=[2,1]"])
def test_settings_that_leave_no_action_between_frames_are_refused(setting: str, folder: Path) -> None:
    with pytest.raises(UserError) as mistake:
        check(Composer("train"), words(folder, setting))
    assert mistake.value.key == setting.partition("=")[0]
    check(Composer("train"), words(folder, setting, "model.actions=false"))


def test_a_damaged_file_is_one_message_before_a_run_starts(folder: Path, command: Callable[..., Answer]) -> None:
    (folder / FILE).write_text(TABLE + "2,x,up\n")
    answer = command(*words(folder))
    assert answer.code == 2 and answer.imported == ""
    assert answer.err.count("error:") == 1 and "line 5: frame x" in answer.err
    assert not (folder.parent / "outputs").exists()


def test_an_unknown_clip_leaves_no_run(folder: Path, command: Callable[..., Answer]) -> None:
    (folder / FILE).write_text(TABLE + "3,0,up\n")
    answer = command(*words(folder, "trainer=cpu", "data.num_frames=2", "data.batch_size=1"))
    assert answer.code == 2 and answer.err.count("error:") == 1 and "clip '3'" in answer.err
    assert not list(folder.parent.glob("outputs/*/*"))
