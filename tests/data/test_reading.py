"""What is told of files that are not read."""

from pathlib import Path

import pytest

from genimg.data.listing import list_images
from genimg.data.reading import warn_of_links


def test_a_link_that_leads_nowhere_is_not_said_to_be_followed_by_a_setting(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    outside, root = tmp_path / "outside.png", tmp_path / "root"
    root.mkdir()
    outside.touch()
    (root / "mine.png").touch()
    (root / "dead.png").symlink_to(tmp_path / "gone.png")
    warn_of_links(list_images(root).skipped_links, str(root))
    assert "dead.png" in caplog.text and "follow_links" not in caplog.text
    (root / "out.png").symlink_to(outside)
    warn_of_links(list_images(root).skipped_links, str(root))
    assert f"{root} are skipped: 1 ({root / 'out.png'}); data.follow_links=true" in caplog.text
