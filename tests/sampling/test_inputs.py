"""Classes and images given by the user: which are found, and which are errors."""

import os
from pathlib import Path

import pytest
from PIL import Image

from genimg.common.errors import UserError
from genimg.sampling.inputs import class_numbers, find_images, read_images
from tests.data.stand_ins import png_bomb

NAMES = ("shirt", "trouser", "sneaker")


@pytest.mark.parametrize("side", [8193, 9500, 50_000])
def test_a_decompression_bomb_given_by_name_is_a_user_error(side: int, tmp_path: Path) -> None:
    (tmp_path / "bomb.png").write_bytes(png_bomb(side))
    with pytest.raises(UserError, match=r"(?s)bomb\.png.*more than 67,108,864 pixels"):
        read_images(tmp_path / "bomb.png", (1, 8, 8), "start")


def test_links_out_of_a_folder_are_skipped_and_a_link_given_by_name_is_followed(tmp_path: Path) -> None:
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


def test_a_pipe_is_an_error_and_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "start.png")
    with pytest.raises(UserError, match="neither a file nor a folder"):
        find_images(tmp_path / "start.png", "start")


def test_an_unreadable_file_is_skipped_in_a_folder_and_an_error_when_given_by_name(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Image.new("L", (8, 8), 7).save(tmp_path / "good.png")
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no image")
    files, images = read_images(tmp_path, (1, 8, 8), "start")
    assert files == [tmp_path / "good.png"]
    assert images.tolist() == [[[[7] * 8] * 8]]
    assert "1 of 2 images" in caplog.text and "bad.png" in caplog.text
    for paths in (bad, [tmp_path / "good.png", bad]):
        with pytest.raises(UserError, match=r"bad\.png"):
            read_images(paths, (1, 8, 8), "start")
    with pytest.raises(UserError, match=r"bad\.png"):
        read_images(tmp_path, (1, 8, 8), "start", skip_unreadable=False)
    (tmp_path / "good.png").unlink()
    with pytest.raises(UserError, match="at least one image that can be read"):
        read_images(tmp_path, (1, 8, 8), "start")


def test_a_class_is_found_by_name_first_and_then_by_number() -> None:
    assert class_numbers([3, "7"], [str(digit) for digit in range(10)]) == [3, 7]
    assert class_numbers([10], ["10", "20", "30"]) == [0]
    for number in (1, "4"):  # a name that is missing, not the second or the fifth of them
        with pytest.raises(UserError, match=r"expected: one of 10, 20, 30\n|expected: one of 10, 20, 30$"):
            class_numbers([number], ["10", "20", "30"])
    assert class_numbers("Trouser", NAMES) == [1]
    assert class_numbers(["a", "A"], ["A", "a"]) == [1, 0]
    with pytest.raises(UserError, match="did you mean sneaker"):
        class_numbers(["sneeker"], NAMES)
    with pytest.raises(UserError, match="0 to 2"):
        class_numbers([3], NAMES)
    with pytest.raises(UserError, match="at least one"):
        class_numbers([], NAMES)
