"""The page that asks people, in a real browser: headless Chromium, without a network."""

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


WORDS = {"fooled": {"f": "real", "j": "generated"}, "better": {"f": "left", "j": "right", " ": "tie"}}
NUMBERS = "document.querySelectorAll('#images img').length"


def make(folder: Path, mode: study.Mode, exposure: int | None = None) -> study.Key:
    """A study of five trials and two repeats; every image has a grey level of its own."""
    sources = []
    for source in range(2):
        encoded = []
        for index in range(5):
            save_png(torch.full((1, 8, 8), 100 * source + 10 * index, dtype=torch.uint8), folder / "one.png")
            encoded.append((folder / "one.png").read_bytes())
        sources.append((f"<img src=x onerror=alert({source})>", encoded, "image/png"))
    trials = study.plan(mode, 2, 5, torch.Generator().manual_seed(0))
    return study.write(mode, sources, trials, repeats=2, folder=folder / "study", exposure=exposure)


def begin(page: Page, folder: Path, rater: str) -> None:
    page.goto((folder / "study" / "rate.html").as_uri())
    page.locator("#rater").fill(rater)
    page.locator("#begin").click()


def judge(page: Page, presses: str) -> list[list[str]]:
    """Answers by keys; the addresses of the images that were shown."""
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


@pytest.mark.parametrize(("mode", "presses"), [("fooled", "fjffjfj"), ("better", "fj fjfj")])
def test_a_rater_judges_by_keys_and_saves_what_can_be_counted(
    opened: Page,  # noqa: F811
    tmp_path: Path,
    mode: study.Mode,
    presses: str,
) -> None:
    key = make(tmp_path, mode)
    begin(opened, tmp_path, "")
    assert opened.locator("#start").is_visible() and opened.locator("#trial").is_hidden()  # not without a name
    begin(opened, tmp_path, "A <b> rater")
    assert opened.locator("#count").inner_text() == "1 of 7"
    tops = opened.locator("#answers button").evaluate_all("all => all.map((one) => one.getBoundingClientRect().top)")
    assert len(set(tops)) == 1  # left is left of right, on a telephone too
    seen = judge(opened, presses)
    seed = answers(opened, tmp_path / "answers.json")["seed"]
    (rater,) = results.read([tmp_path / "answers.json"], key)  # which finds the order in which the page asked
    order = study.order(5, 2, seed)
    turned = [study.mirrored(5, trial, seed) != (place >= 5) for place, trial in enumerate(order)]
    other = {"left": "right", "right": "left"}
    words = [WORDS[mode][press] for press in presses]
    words = [other.get(word, word) if one else word for word, one in zip(words, turned, strict=True)]
    assert rater.name == "A <b> rater"
    assert rater.answers == dict(zip(order[:5], words[:5], strict=True))
    assert rater.again == dict(zip(order[5:], words[5:], strict=True))
    for trial, images in zip(order[5:], seen[5:], strict=True):
        assert images == seen[order.index(trial)][::-1]  # the other way round
    held = json.loads(opened.locator("#study").text_content() or "")["trials"]
    for trial, one, images in zip(order, turned, seen, strict=True):
        assert images == (held[trial][::-1] if one else held[trial])
    assert len({tuple(images) for images in seen[:5]}) == 5


def test_an_exposure_ends_and_the_question_stays(
    opened: Page,  # noqa: F811
    tmp_path: Path,
) -> None:
    make(tmp_path, "fooled", exposure=100)
    # the page itself notes what was there: on a busy machine an image comes and goes between two looks
    noted = "new MutationObserver(() => { window.noted = [...window.noted || [], COUNT]; }).observe(document, OPTIONS)"
    noted = noted.replace("COUNT", NUMBERS).replace("OPTIONS", "{ childList: true, subtree: true }")
    opened.add_init_script(noted)
    begin(opened, tmp_path, "ann")
    opened.wait_for_function(f"(window.noted || []).includes(1) && {NUMBERS} === 0")
    opened.keyboard.press("f")
    assert opened.locator("#count").inner_text() == "2 of 7"


def test_a_closed_page_loses_no_answers_and_can_be_started_over(
    opened: Page,  # noqa: F811
    tmp_path: Path,
) -> None:
    key = make(tmp_path, "better")
    name = "<img src=x onerror=alert(1)>"  # a rater may be called anything
    begin(opened, tmp_path, name)
    seen = judge(opened, "fjf")
    opened.reload()
    opened.locator("#before").wait_for()
    assert opened.locator("#judged").inner_text() == f"{name} has judged 3 of 7."
    opened.locator("#continue").click()
    seen += judge(opened, "jfjf")
    opened.reload()  # all of them judged, and not yet saved
    opened.locator("#continue").click()
    first = answers(opened, tmp_path / "ann.json")
    assert [one["answer"] for one in first["answers"]] == [WORDS["better"][press] for press in "fjfjfjf"]
    assert len({tuple(sorted(images)) for images in seen}) == 5
    opened.reload()
    opened.locator("#restart").click()
    opened.locator("#rater").fill("bob")
    opened.locator("#begin").click()
    judge(opened, "fffffff")
    second = answers(opened, tmp_path / "bob.json")
    assert second["rater"] == "bob" and second["seed"] != first["seed"]
    assert len(results.read([tmp_path / "ann.json", tmp_path / "bob.json"], key)) == 2


def test_what_is_kept_of_another_study_or_damaged_is_not_gone_on_with(
    opened: Page,  # noqa: F811
    tmp_path: Path,
) -> None:
    make(tmp_path, "fooled")
    begin(opened, tmp_path, "ann")
    judge(opened, "ff")
    for kept in ("[1", {"rater": "ann", "seed": 1, "answers": [{"trial": 9, "answer": "real"}]}):
        opened.evaluate("kept => stored('put', kept, study.study)", kept)
        opened.reload()
        opened.locator("#start").wait_for()
        assert opened.locator("#before").is_hidden()
    make(tmp_path, "better")
    begin(opened, tmp_path, "ann")
    assert opened.locator("#count").inner_text() == "1 of 7"


def test_a_browser_that_keeps_nothing_can_rate(
    opened: Page,  # noqa: F811
    tmp_path: Path,
) -> None:
    key = make(tmp_path, "fooled")
    opened.add_init_script("Object.defineProperty(window, 'indexedDB', { get() { throw new Error('off'); } })")
    begin(opened, tmp_path, "ann")
    judge(opened, "fffffff")
    answers(opened, tmp_path / "ann.json")
    assert len(results.read([tmp_path / "ann.json"], key)) == 1
