"""Warnings about files that are not read."""

from pathlib import Path

import pytest

from genimg.data.listing import list_images
from genimg.data.reading import warn_about_skipped


def test_the_warning_about_a_broken_link_does_not_suggest_following_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    outside, root = tmp_path / "outside.png", tmp_path / "root"
    root.mkdir()
    outside.touch()
    (root / "mine.png").touch()
    (root / "dead.png").symlink_to(tmp_path / "gone.png")
    warn_about_skipped(list_images(root).skipped, str(root))
    assert "dead.png" in caplog.text and "follow_links" not in caplog.text
    (root / "out.png").symlink_to(outside)
    warn_about_skipped(list_images(root).skipped, str(root))
    assert f"out of {root} are skipped, for example {root / 'out.png'}; data.follow_links=true" in caplog.text


def test_files_of_other_formats_are_counted_by_suffix(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("a.png", "b.avif", "c.AVIF", "d"):
        (tmp_path / name).touch()
    warn_about_skipped(list_images(tmp_path).skipped, str(tmp_path))
    assert f"3 files in {tmp_path} are of other formats and are not read: 2 .avif, 1 no suffix" in caplog.text
