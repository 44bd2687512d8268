"""The actions of a folder of clips: reading, what is refused, batches and splits."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch
from PIL import Image

from genimg.common.errors import UserError
from genimg.data.actions import FILE, count_actions, read_actions
from genimg.data.frame_folder import ClipWindows, FrameFolder
from genimg.data.module import GenerativeData

SHAPE = (1, 8, 8)
FRAMES = 6
NAMES = ("left", "right", "up")  # sorted


def action_of(clip: int, frame: int) -> int:
    return (clip + frame) % len(NAMES)


def rows(clips: int = 10) -> list[str]:
    """The action in each frame but the last of each clip."""
    return [f"{clip},{frame},{NAMES[action_of(clip, frame)]}" for clip in range(clips) for frame in range(FRAMES - 1)]


def write(root: Path, lines: list[str], head: str = "clip,frame,action") -> None:
    (root / FILE).write_text("\n".join([head, *lines, ""]), encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Ten clips of six frames; frame f of clip c has the level 10 c + f."""
    for clip in range(10):
        (tmp_path / str(clip)).mkdir()
        for frame in range(FRAMES):
            Image.new("L", (8, 8), 10 * clip + frame).save(tmp_path / str(clip) / f"{frame}.png")
    write(tmp_path, rows())
    return tmp_path


def load(root: Path, **settings: object) -> ClipWindows:
    given = {"num_frames": 4, "actions": True} | settings
    return FrameFolder(str(root), **given).load("train", SHAPE)  # type: ignore[arg-type]


def data_of(root: Path, **settings: object) -> GenerativeData:
    source = FrameFolder(str(root), num_frames=4, actions=True)
    given = {"num_actions": 3, "batch_size": 5} | settings
    data = GenerativeData(source, name="f", kind="sequences", image_size=8, channels=1, **given)  # type: ignore[arg-type]
    data.setup("test")
    return data


def test_every_frame_of_a_window_but_the_last_has_the_action_that_leads_on(folder: Path) -> None:
    windows = load(folder)
    assert windows.action_names == NAMES
    for index in torch.arange(len(windows)).split(1):
        levels = windows.fetch(index, draw=0)[0, :, 0, 0, 0].tolist()
        wanted = [action_of(*divmod(level, 10)) for level in levels[:-1]]
        assert windows.actions_of(index)[0].tolist() == wanted


def test_batches_of_every_split_have_the_actions_of_their_clips(folder: Path) -> None:
    data = data_of(folder)
    assert data.actions == NAMES
    for split in ("train", "validation", "test"):
        for batch in data.evenly_spaced(split, 100):
            levels = batch["images"][:, :-1, 0, 0, 0].long()
            wanted = (levels // 10 + levels % 10) % 3
            assert torch.equal(batch["actions"], wanted)


def test_the_shares_of_the_actions_are_those_of_the_training_clips(folder: Path) -> None:
    write(folder, [f"{clip},{frame},{'up' if frame else 'left'}" for clip in range(10) for frame in range(FRAMES - 1)])
    data = data_of(folder, num_actions=2)
    # of the three windows of a clip, the first begins with left
    assert data.action_shares is not None
    torch.testing.assert_close(data.action_shares, torch.tensor([1 / 9, 8 / 9]))


def test_the_fingerprint_depends_on_the_actions(folder: Path) -> None:
    before = data_of(folder).fingerprint
    assert data_of(folder).fingerprint == before
    write(folder, [row.replace("left", "x").replace("up", "left").replace("x", "up") for row in rows()])
    assert data_of(folder).fingerprint != before


def test_actions_that_are_not_wanted_are_not_read(folder: Path) -> None:
    write(folder, ["nothing"])
    windows = load(folder, actions=False, frame_stride=2, num_frames=3)
    assert windows.actions is None and windows.action_names == ()
    assert "actions" not in next(iter(data_of_unread(folder).evenly_spaced("train", 5)))


def data_of_unread(root: Path) -> GenerativeData:
    source = FrameFolder(str(root), num_frames=4)
    data = GenerativeData(source, name="f", kind="sequences", image_size=8, channels=1, batch_size=5)
    data.setup("fit")
    return data


def test_the_file_is_no_file_of_another_format(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        load(folder)
    assert not caplog.text


def test_further_columns_spaces_and_blank_lines_are_ignored(folder: Path) -> None:
    lines = [f" {frame} ,0.5,{clip}/, {action}" for clip, frame, action in (row.split(",") for row in rows())]
    write(folder, ["", *lines], head="frame,reward,clip,action")
    read = read_actions(folder)
    assert read.names == NAMES
    assert read.sequence("3", FRAMES) == [action_of(3, frame) for frame in range(FRAMES - 1)]


def test_actions_are_counted_without_a_message(folder: Path) -> None:
    assert count_actions(folder) == 3
    write(folder, ["0,first,left"])
    assert count_actions(folder) == 0
    (folder / FILE).unlink()
    assert count_actions(folder) == 0


# the file, and what the message must contain
DAMAGED: dict[str, tuple[str, list[str]]] = {
    "a column is missing": ("clip,frames,action\n0,0,left\n", ["line 1", "no column frame", "frames"]),
    "empty": ("", ["no column clip"]),
    "no rows": ("clip,frame,action\n", ["no rows"]),
    "a frame is no number": ("clip,frame,action\n0,first,left\n", ["line 2", "frame first", "whole number"]),
    "a frame is negative": ("clip,frame,action\n0,-1,left\n", ["line 2", "frame -1"]),
    "a fraction": ("clip,frame,action\n0,1.5,left\n", ["frame 1.5"]),
    "a value is missing": ("clip,frame,action\n0,0\n", ["line 2", "2 values"]),
    "an empty name": ("clip,frame,action\n0,0,\n", ["line 2", "an empty value"]),
    "twice": ("clip,frame,action\n0,0,left\n0,0,up\n", ["line 3", "frame 0 of 0 again"]),
    "an open quote": ('clip,frame,action\n"0,0,left\n', ["cannot be read"]),
    "too many": ("clip,frame,action\n" + "".join(f"0,{n},a{n}\n" for n in range(1001)), ["at most 1,000"]),
    "unknown clip": (
        "\n".join(["clip,frame,action", *rows(), "1O,0,up"]),
        ["clip '1O'", "did you mean 1?"],
    ),
    "no actions of a clip": ("\n".join(["clip,frame,action", *rows(9)]), ["no actions of 9"]),
    "a frame without an action": (
        "\n".join(["clip,frame,action", *rows()[:-1]]),
        ["no action in frame 4 of 9", "0 to 4: the clip has 6 frames"],
    ),
    "an action in the last frame": (
        "\n".join(["clip,frame,action", *rows(), "9,5,up"]),
        ["an action in frame 5 of 9", "the last frame has none"],
    ),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_wrong_file_is_one_message(name: str, folder: Path) -> None:
    content, parts = DAMAGED[name]
    (folder / FILE).write_text(content, encoding="utf-8")
    with pytest.raises(UserError) as mistake:
        load(folder)
    assert mistake.value.key == "data.root"
    assert all(part in str(mistake.value) for part in parts), str(mistake.value)


def test_a_huge_file_and_one_of_other_bytes_are_one_message(folder: Path) -> None:
    with open(folder / FILE, "wb") as file:
        file.truncate(2**40)
    with pytest.raises(UserError, match="more than"):
        load(folder)
    (folder / FILE).write_bytes(bytes(range(256)) * 10)
    with pytest.raises(UserError, match=FILE):
        load(folder)
    (folder / FILE).unlink()
    with pytest.raises(UserError, match="No such file"):
        load(folder)


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"frame_stride": 2}, "data.frame_stride"),
        ({"sheet": [1, 1]}, "data.sheet"),
        ({"num_frames": 8}, "data.short"),
        ({"num_frames": 8, "short": "hold"}, "data.short"),
    ],
)
def test_settings_that_do_not_fit_actions_are_one_message(settings: dict[str, object], key: str, folder: Path) -> None:
    with pytest.raises(UserError) as mistake:
        load(folder, **settings)
    assert mistake.value.key == key


def test_short_clips_may_be_skipped(folder: Path) -> None:
    (folder / "0" / "5.png").unlink()
    write(folder, [row for row in rows() if row[:3] != "0,4"])
    windows = load(folder, num_frames=6, short="skip")
    assert len(windows) == 9


def test_another_number_of_actions_than_that_of_the_data_is_an_error(folder: Path) -> None:
    with pytest.raises(UserError, match="3, the number of actions"):
        data_of(folder, num_actions=4)
