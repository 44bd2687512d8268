"""The pages in a real browser: headless Chromium, without a network."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page

from genimg.report import pages
from genimg.report.run import read
from tests.browser import needs_chromium, opened  # noqa: F401  pyright: ignore[reportUnusedImport]
from tests.report.test_pages import make_run

pytestmark = [pytest.mark.slow, needs_chromium]


def test_the_slider_of_a_report_changes_the_picture(
    opened: Page,  # noqa: F811
    tmp_path: Path,
) -> None:
    run = make_run(tmp_path / "run")
    opened.goto(pages.report(read(run), {}, run.report).as_uri())
    last = opened.locator("#moment").get_attribute("src")
    assert opened.locator("#seen").inner_text() == "192"
    opened.locator("#when").focus()
    opened.keyboard.press("ArrowLeft")
    assert opened.locator("#seen").inner_text() == "128"
    assert opened.locator("#moment").get_attribute("src") not in (None, last)
    assert opened.locator("#moment").evaluate("picture => picture.decode().then(() => picture.naturalWidth)") > 0
    assert opened.evaluate("document.documentElement.scrollWidth") <= 390  # a telephone need not scroll sideways


def test_a_report_draws_its_curves_and_follows_the_light(
    opened: Page,  # noqa: F811
    tmp_path: Path,
) -> None:
    run = make_run(tmp_path / "run")
    opened.goto(pages.report(read(run), {}, run.report).as_uri())
    opened.wait_for_function("document.querySelectorAll('.chart .scatterlayer .trace').length >= 4")
    assert run.report.stat().st_size < 2.2e6
    ink = "document.querySelector('.chart .gtitle').style.fill"
    in_the_dark = opened.evaluate(ink)
    opened.emulate_media(color_scheme="light")
    opened.wait_for_function(f"{ink} !== '{in_the_dark}'")


def test_a_browser_that_cannot_unpack_the_charts_says_so(
    opened: Page,  # noqa: F811
    tmp_path: Path,
) -> None:
    run = make_run(tmp_path / "run")
    opened.add_init_script("delete window.DecompressionStream")
    opened.goto(pages.report(read(run), {}, run.report).as_uri())
    assert "2023" in opened.locator(".chart").first.inner_text()


def test_a_comparison_sorts_by_the_column_clicked(
    opened: Page,  # noqa: F811
    tmp_path: Path,
) -> None:
    runs = [read(make_run(tmp_path / name, lr)) for name, lr in (("b", 3.0), ("a", 20.0), ("c", 1.0))]
    frechet = {"a": 100.0, "b": 9.0, "c": 20.0}
    for run in runs:
        run.evaluation["figures"][0]["value"] = frechet[run.name]
    del runs[2].evaluation["figures"][0]
    opened.goto(pages.comparison(runs, tmp_path / "compare.html").as_uri())

    def order() -> list[str]:
        return opened.locator("#figures tbody tr td:first-child").all_inner_texts()

    head = opened.locator("#figures th button", has_text="frechet distance")
    head.click()
    assert order() == ["b", "a", "c"]  # as numbers; what has none comes last
    head.click()
    assert order() == ["a", "b", "c"]
    opened.locator("#figures th button", has_text="run").first.click()
    assert order() == ["a", "b", "c"]
