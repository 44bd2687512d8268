"""Which files are images, classes and clips."""

import os
import struct
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from genimg.common.errors import UserError
from genimg.data.listing import count_classes, images_in, list_clips, list_images, require_clips, require_images


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def names(root: Path, paths: Sequence[str]) -> list[str]:
    return [Path(path).relative_to(root).as_posix() for path in paths]


def test_a_flat_folder_is_sorted_and_has_no_classes(tmp_path: Path) -> None:
    touch(tmp_path, "b.PNG", "a.jpg", "c.webp", ".hidden.png", "notes.txt", "d.gif")
    found = list_images(tmp_path)
    assert names(tmp_path, found.paths) == ["a.jpg", "b.PNG", "c.webp", "d.gif"]
    assert found.labels == found.classes == ()
    assert count_classes(tmp_path) == 0


def test_class_folders_give_labels_at_any_depth(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "dog/1.png",
        "cat/deep/er/2.png",
        "cat/3.png",
        ".cache/4.png",
        "empty/readme.txt",
        "dog/.5.png",
    )
    found = list_images(tmp_path)
    assert found.classes == ("cat", "dog")
    assert names(tmp_path, found.paths) == ["cat/3.png", "cat/deep/er/2.png", "dog/1.png"]
    assert found.labels == (0, 0, 1)
    assert count_classes(tmp_path) == 2
    require_images(tmp_path)


def test_a_single_folder_of_images_is_not_a_class(tmp_path: Path) -> None:
    touch(tmp_path, "faces/1.png", "faces/2.png")
    assert list_images(tmp_path).classes == ()
    assert count_classes(tmp_path) == 0


def test_links_inside_the_folder_are_followed_and_others_skipped(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    touch(root, "a/1.png", "b/2.png")
    touch(outside, "secret.png", "more/3.png")
    (root / "a" / "inside.png").symlink_to(root / "b" / "2.png")
    (root / "a" / "out.png").symlink_to(outside / "secret.png")
    (root / "c").symlink_to(outside / "more")
    (root / "b" / "circle").symlink_to(root)
    found = list_images(root)
    assert names(root, found.paths) == ["a/1.png", "a/inside.png", "b/2.png"]
    assert sorted(names(root, found.skipped.links)) == ["a/out.png", "c"]
    assert count_classes(root) == 2
    followed = list_images(root, follow_links=True)
    assert names(root, followed.paths) == ["a/1.png", "a/inside.png", "a/out.png", "b/2.png", "c/3.png"]
    assert count_classes(root, follow_links=True) == 3


def test_a_link_to_itself_is_ignored(tmp_path: Path) -> None:
    touch(tmp_path, "cat/1.png", "dog/2.png")
    for name in ("loop", "loop.png"):
        (tmp_path / "cat" / name).symlink_to(name)
    (tmp_path / "loop").symlink_to("loop")
    require_images(tmp_path)
    assert names(tmp_path, list_images(tmp_path).paths) == ["cat/1.png", "dog/2.png"]
    assert count_classes(tmp_path) == 2
    assert names(tmp_path, tuple(images_in(tmp_path / "cat"))) == ["cat/1.png"]


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ([], "a folder with images"),
        (["notes.txt"], "a folder with images"),
        (["1.png", "cat/2.png"], "not both"),
        (["train/1.png", "test/2.png"], "training images"),
    ],
)
def test_the_message_for_an_unsuitable_folder_says_why(tmp_path: Path, files: list[str], reason: str) -> None:
    touch(tmp_path, *files)
    with pytest.raises(UserError, match=reason) as caught:
        require_images(tmp_path)
    assert caught.value.key == "data.root"


def test_a_missing_or_empty_root_is_a_user_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for require in (require_images, require_clips):
        for root in (None, tmp_path / "nowhere", tmp_path / "file", tmp_path):
            with pytest.raises(UserError):
                require(root)
    assert count_classes(tmp_path / "nowhere") == 0


def test_clips_are_animations_videos_and_folders_of_frames(tmp_path: Path) -> None:
    touch(tmp_path, "run/frame10.png", "run/frame9.png", "sub/b.gif", "a.mp4", "run2/x.webp", ".gone/1.gif")
    riff = b"RIFF" + struct.pack("<I", 22) + b"WEBPVP8X" + struct.pack("<I", 10) + bytes([2]) + bytes(9)
    (tmp_path / "moving.webp").write_bytes(riff)
    clips = {Path(clip.path).relative_to(tmp_path).as_posix(): clip for clip in list_clips(tmp_path)[0]}
    kinds = {name: clip.kind for name, clip in clips.items()}
    assert kinds == {
        "a.mp4": "video",
        "moving.webp": "animation",
        "run": "frames",
        "run2": "frames",
        "sub/b.gif": "animation",
    }
    assert names(tmp_path, clips["run"].frames) == ["run/frame9.png", "run/frame10.png"]
    require_clips(tmp_path)


def test_listing_imports_nothing_heavy() -> None:
    code = "import sys, genimg.data.listing; print({'torch', 'numpy', 'PIL'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_an_image_with_another_suffix_or_none_is_listed_by_its_content(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "notes.txt", "README", "b.avif")
    (tmp_path / "c.jfif").write_bytes(b"\xff\xd8\xff\xe0" + bytes(8))
    (tmp_path / "d").write_bytes(b"RIFF\0\0\0\0WEBP")
    found = list_images(tmp_path)
    assert names(tmp_path, found.paths) == ["a.png", "c.jfif", "d"]
    assert [Path(path).name for path in found.skipped.others] == ["README", "b.avif", "notes.txt"]


def test_links_to_folders_that_are_listed_anyway_are_no_classes(tmp_path: Path) -> None:
    touch(tmp_path, "cat/1.png", "dog/2.png", ".store/emu/3.png")
    (tmp_path / "again").symlink_to(".")
    (tmp_path / "alias").symlink_to("cat")
    (tmp_path / "emu").symlink_to(".store/emu")
    assert list_images(tmp_path).classes == ("cat", "dog", "emu")
    assert count_classes(tmp_path) == 3


def test_an_unreadable_folder_is_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "cat/1.png", "dog/2.png", "locked/3.png")
    scandir = os.scandir

    def refuse(path: str) -> Any:
        if path.endswith("locked"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    require_images(tmp_path)
    found = list_images(tmp_path)
    assert found.classes == ("cat", "dog") and count_classes(tmp_path) == 2
    assert found.skipped.folders == [str(tmp_path / "locked")]
    require_clips(tmp_path)


def test_names_that_are_not_utf8_are_listed_and_classes_are_printable(tmp_path: Path) -> None:
    for number in range(2):
        folder = os.fsencode(tmp_path) + b"/caf\xe9%d" % number
        os.mkdir(folder)
        with open(folder + b"/\xff.png", "wb"):
            pass
    require_images(tmp_path)
    found = list_images(tmp_path)
    assert found.classes == ("caf\\xe90", "caf\\xe91") and len(found.paths) == 2
    with pytest.raises(UserError, match="UTF-8"):
        require_images(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe90"))
