"""Every command and the Python of docs/tutorial.md run, in order and as printed except for a smaller budget."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.pages import follow, read_page

PAGE = read_page("docs/tutorial.md")


def test_the_tutorial_is_short() -> None:
    assert len(PAGE.splitlines()) < 120


@pytest.mark.slow
def test_the_tutorial_runs(tmp_path: Path) -> None:
    images = follow(PAGE, tmp_path)["images"]
    assert images.shape == (16, 1, 32, 32)
    assert [*tmp_path.glob("outputs/*/*-gan-image_folder/evaluation.json")]
