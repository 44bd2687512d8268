"""Images that a user hands to a model: which files, and what is refused by name."""

import os
from pathlib import Path

import pytest
from PIL import Image

from genimg.common.errors import UserError
from genimg.sampling.inputs import find_images, find_readable, read_image
from tests.data.stand_ins import png_bomb


@pytest.mark.parametrize("side", [8193, 9500, 50_000])
def test_a_bomb_that_is_named_is_one_message(side: int, tmp_path: Path) -> None:
    (tmp_path / "bomb.png").write_bytes(png_bomb(side))
    with pytest.raises(UserError, match=r"(?s)bomb\.png.*more than 67,108,864 pixels"):
        read_image(tmp_path / "bomb.png", (1, 8, 8), "start")


def test_a_folders_links_out_of_it_are_left_out_and_a_named_link_is_followed(tmp_path: Path) -> None:
    folder, outside = tmp_path / "mine", tmp_path / "outside.png"
    folder.mkdir()
    for path in (outside, folder / "b.png", folder / "a.png"):
        Image.new("L", (8, 8)).save(path)
    (folder / "c.png").symlink_to(outside)
    (folder / "d.png").symlink_to("a.png")
    (tmp_path / "alias").symlink_to(folder)
    assert [path.name for path in find_images(folder, "start")] == ["a.png", "b.png", "d.png"]
    assert len(find_images(tmp_path / "alias", "start")) == 3
    assert find_images(folder / "c.png", "start") == [folder / "c.png"]


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "start.png")
    with pytest.raises(UserError, match="neither file nor folder"):
        find_images(tmp_path / "start.png", "start")


def test_what_cannot_be_read_is_left_out_of_a_folder_and_refused_by_name(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Image.new("L", (8, 8)).save(tmp_path / "good.png")
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no image")
    assert find_readable(tmp_path, (1, 8, 8), "start") == [tmp_path / "good.png"]
    assert "1 of 2 images" in caplog.text and "bad.png" in caplog.text
    for paths in (bad, [tmp_path / "good.png", bad]):
        with pytest.raises(UserError, match=r"bad\.png"):
            find_readable(paths, (1, 8, 8), "start")
    with pytest.raises(UserError, match=r"bad\.png"):
        find_readable(tmp_path, (1, 8, 8), "start", leave_out=False)
    (tmp_path / "good.png").unlink()
    with pytest.raises(UserError, match="at least one image that can be read"):
        find_readable(tmp_path, (1, 8, 8), "start")
