"""The page that asks people, in a real browser: headless Chromium, without a network."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from playwright.sync_api import Page

from genimg.pictures.files import save_png
from genimg.rating import results, study
from tests.browser import needs_chromium, opened  # noqa: F401  pyright: ignore[reportUnusedImport]

pytestmark = [pytest.mark.slow, needs_chromium]


@pytest.mark.parametrize(("mode", "presses"), [("fooled", "fjffj"), ("better", "fj fj")])
def test_a_rater_judges_by_keys_and_saves_what_can_be_counted(
    opened: Page,  # noqa: F811
    tmp_path: Path,
    mode: study.Mode,
    presses: str,
) -> None:
    save_png(torch.full((1, 8, 8), 128, dtype=torch.uint8), tmp_path / "one.png")
    source = [(tmp_path / "one.png").read_bytes()] * 5
    trials = study.plan(mode, 2, 5, 0.0, torch.Generator().manual_seed(0))
    shown = [("one", source, "image/png"), ("two", source, "image/png")]
    key = study.write(mode, shown, trials, folder=tmp_path / "study", exposure=250)
    opened.goto((tmp_path / "study" / "rate.html").as_uri())
    opened.locator("#begin").click()
    assert opened.locator("#trial").is_hidden()  # not without a name
    opened.locator("#rater").fill("A <b> rater")
    opened.locator("#begin").click()
    for number, press in enumerate(presses):
        opened.wait_for_function("document.querySelectorAll('#pictures img').length > 0")
        assert opened.locator("#count").inner_text() == f"{number + 1} of 5"
        if number == 0:  # the exposure ends, and the question stays
            opened.wait_for_function("document.querySelectorAll('#pictures img').length === 0")
        opened.keyboard.press("Space" if press == " " else press)
    with opened.expect_download() as download:
        opened.locator("#save").click()
    saved = tmp_path / "answers.json"
    download.value.save_as(saved)
    (rater,) = results.read([saved], key)
    words = {"fooled": {"f": "real", "j": "generated"}, "better": {"f": "left", "j": "right", " ": "tie"}}[mode]
    assert rater.name == "A <b> rater"
    assert rater.answers == {number: words[press] for number, press in enumerate(presses)}
