"""The rating page in headless Chromium, without a network."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from playwright.sync_api import Page

from genimg.evaluation.rating import results, study
from genimg.sampling.images.files import save_png
from tests.browser import browser, needs_chromium, opened  # noqa: F401  pyright: ignore[reportUnusedImport]

pytestmark = [pytest.mark.slow, needs_chromium]


WORDS = {"real_or_generated": {"f": "real", "j": "generated"}, "preference": {"f": "left", "j": "right", " ": "tie"}}
NUMBERS = "document.querySelectorAll('#images img').length"


def make(folder: Path, mode: study.Mode, exposure: int | None = None) -> study.Key:
    """Writes a study of five trials and two repeats; every image has another grey level."""
    sources = []
    for source in range(2):
        encoded = []
        for index in range(5):
            save_png(torch.full((1, 8, 8), 100 * source + 10 * index, dtype=torch.uint8), folder / "one.png")
            encoded.append((folder / "one.png").read_bytes())
        sources.append((f"<img src=x onerror=alert({source})>", encoded, "image/png"))
    trials = study.plan_trials(mode, 2, 5, torch.Generator().manual_seed(0))
    return study.write_study(mode, sources, trials, repeats=2, folder=folder / "study", exposure=exposure)


def begin(page: Page, folder: Path, rater: str) -> None:
    page.goto((folder / "study" / "rate.html").as_uri())
    page.locator("#rater").fill(rater)
    page.locator("#begin").click()


def judge(page: Page, presses: str) -> list[list[str]]:
    """Answers by keys. Returns the URIs of the images that were shown."""
    seen = []
    for press in presses:
        page.wait_for_function(f"{NUMBERS} > 0")
        seen.append(page.locator("#images img").evaluate_all("images => images.map((one) => one.src)"))
        page.keyboard.press("Space" if press == " " else press)
    return seen


def answers(page: Page, path: Path) -> dict[str, Any]:
    with page.expect_download() as download:
        page.locator("#save").click()
    assert re.fullmatch(r"answers-\w{16}-[\w-]+\.json", download.value.suggested_filename)
    download.value.save_as(path)
    return json.loads(path.read_text())


@pytest.mark.parametrize(("mode", "presses"), [("real_or_generated", "fjffjfj"), ("preference", "fj fjfj")])
def test_a_rater_answers_by_keys_and_saves_a_valid_file(
    opened: Page,  # noqa: F811
    tmp_path: Path,
    mode: study.Mode,
    presses: str,
) -> None:
    key = make(tmp_path, mode)
    begin(opened, tmp_path, "")
    assert opened.locator("#start").is_visible() and opened.locator("#trial").is_hidden()  # a name is required
    begin(opened, tmp_path, "A <b> rater")
    assert opened.locator("#count").inner_text() == "1 of 7"
    tops = opened.locator("#answers button").evaluate_all("all => all.map((one) => one.getBoundingClientRect().top)")
    assert len(set(tops)) == 1  # the buttons are in one row, also on a phone
    seen = judge(opened, presses)
    seed = answers(opened, tmp_path / "answers.json")["seed"]
    (rater,) = results.read_raters([tmp_path / "answers.json"], key)  # which checks the order of the answers
    order = study.order(5, 2, seed)
    swapped = [study.mirrored(5, trial, seed) != (place >= 5) for place, trial in enumerate(order)]
    other = {"left": "right", "right": "left"}
    words = [WORDS[mode][press] for press in presses]
    words = [other.get(word, word) if one else word for word, one in zip(words, swapped, strict=True)]
    assert rater.name == "A <b> rater"
    assert rater.answers == dict(zip(order[:5], words[:5], strict=True))
    assert rater.again == dict(zip(order[5:], words[5:], strict=True))
    for trial, images in zip(order[5:], seen[5:], strict=True):
        assert images == seen[order.index(trial)][::-1]  # the sides are swapped
    held = json.loads(opened.locator("#study").text_content() or "")["trials"]
    for trial, one, images in zip(order, swapped, seen, strict=True):
        assert images == (held[trial][::-1] if one else held[trial])
    assert len({tuple(images) for images in seen[:5]}) == 5


def test_the_image_disappears_after_the_exposure(
    opened: Page,  # noqa: F811
    tmp_path: Path,
) -> None:
    make(tmp_path, "real_or_generated", exposure=100)
    # the page records the number of images: on a busy machine, polling can miss an image
    record = (
        "new MutationObserver(() => { window.counts = [...window.counts || [], COUNT]; }).observe(document, OPTIONS)"
    )
    record = record.replace("COUNT", NUMBERS).replace("OPTIONS", "{ childList: true, subtree: true }")
    opened.add_init_script(record)
    begin(opened, tmp_path, "ann")
    opened.wait_for_function(f"(window.counts || []).includes(1) && {NUMBERS} === 0")
    opened.keyboard.press("f")
    assert opened.locator("#count").inner_text() == "2 of 7"


def test_a_closed_page_loses_no_answers_and_can_be_restarted(
    opened: Page,  # noqa: F811
    tmp_path: Path,
) -> None:
    key = make(tmp_path, "preference")
    name = "<img src=x onerror=alert(1)>"  # a name may contain anything
    begin(opened, tmp_path, name)
    seen = judge(opened, "fjf")
    opened.reload()
    opened.locator("#before").wait_for()
    assert opened.locator("#rated").inner_text() == f"{name} has rated 3 of 7."
    opened.locator("#continue").click()
    seen += judge(opened, "jfjf")
    opened.reload()  # all answered, and not saved yet
    opened.locator("#continue").click()
    first = answers(opened, tmp_path / "ann.json")
    assert [one["answer"] for one in first["answers"]] == [WORDS["preference"][press] for press in "fjfjfjf"]
    assert len({tuple(sorted(images)) for images in seen}) == 5
    opened.reload()
    opened.locator("#restart").click()
    opened.locator("#rater").fill("bob")
    opened.locator("#begin").click()
    judge(opened, "fffffff")
    second = answers(opened, tmp_path / "bob.json")
    assert second["rater"] == "bob" and second["seed"] != first["seed"]
    assert len(results.read_raters([tmp_path / "ann.json", tmp_path / "bob.json"], key)) == 2


def test_stored_answers_that_are_damaged_or_of_another_study_are_ignored(
    opened: Page,  # noqa: F811
    tmp_path: Path,
) -> None:
    make(tmp_path, "real_or_generated")
    begin(opened, tmp_path, "ann")
    judge(opened, "ff")
    for kept in ("[1", {"rater": "ann", "seed": 1, "answers": [{"trial": 9, "answer": "real"}]}):
        opened.evaluate("kept => stored('put', kept, study.study)", kept)
        opened.reload()
        opened.locator("#start").wait_for()
        assert opened.locator("#before").is_hidden()
    make(tmp_path, "preference")
    begin(opened, tmp_path, "ann")
    assert opened.locator("#count").inner_text() == "1 of 7"


def test_a_browser_without_storage_works(
    opened: Page,  # noqa: F811
    tmp_path: Path,
) -> None:
    key = make(tmp_path, "real_or_generated")
    opened.add_init_script("Object.defineProperty(window, 'indexedDB', { get() { throw new Error('off'); } })")
    begin(opened, tmp_path, "ann")
    judge(opened, "fffffff")
    answers(opened, tmp_path / "ann.json")
    assert len(results.read_raters([tmp_path / "ann.json"], key)) == 1
