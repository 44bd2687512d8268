"""The pages in headless Chromium, without a network."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Page

from genimg.common.run_folder import RunFolder
from genimg.report import pages
from genimg.report.run import read
from tests.browser import browser, needs_chromium, opened  # noqa: F401  pyright: ignore[reportUnusedImport]
from tests.report.made import make_run

# [name, colour, dash, symbol] of every curve
STYLES = """charts => charts.flatMap((chart) => chart.data.map(
    (one) => [one.name, one.line.color, one.line.dash, one.marker.symbol]))"""

pytestmark = [pytest.mark.slow, needs_chromium]


def test_the_slider_of_a_report_changes_the_image(
    opened: Page,  # noqa: F811
    tmp_path: Path,
) -> None:
    run = make_run(tmp_path / "run")
    opened.goto(pages.report(read(run), {}, run.report).as_uri())
    last = opened.locator("#sheet").get_attribute("src")
    assert opened.locator("#seen").inner_text() == "192"
    opened.locator("#when").focus()
    opened.keyboard.press("ArrowLeft")
    assert opened.locator("#seen").inner_text() == "128"
    assert opened.locator("#sheet").get_attribute("alt") == "samples at 128 images seen"
    assert opened.locator("#sheet").get_attribute("src") not in (None, last)
    assert opened.locator("#sheet").evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
    assert opened.evaluate("document.documentElement.scrollWidth") <= 390  # no horizontal scrolling on a phone


def drawn(opened: Page, folder: Path) -> RunFolder:  # noqa: F811
    """Opens the report of a run and waits for its curves."""
    run = make_run(folder / "run")
    opened.goto(pages.report(read(run), {}, run.report).as_uri())
    opened.wait_for_function("document.querySelectorAll('.chart .scatterlayer .trace').length >= 4")
    return run


def test_a_report_draws_its_curves_and_follows_the_color_scheme(
    opened: Page,  # noqa: F811
    tmp_path: Path,
) -> None:
    run = drawn(opened, tmp_path)
    assert run.report.stat().st_size < 2.2e6
    color = "document.querySelector('.chart .gtitle').style.fill"
    dark = opened.evaluate(color)
    opened.emulate_media(color_scheme="light")
    opened.wait_for_function(f"{color} !== '{dark}'")


def test_an_old_browser_shows_a_message_instead_of_charts(
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
    frechet = {"a": 100.0, "b": 9.0}
    for run in runs:
        assert run.evaluation is not None
        figures = run.evaluation.figures
        figures[:] = [] if run.name == "c" else [replace(figures[0], value=frechet[run.name])]
    opened.goto(pages.comparison(runs, tmp_path / "compare.html").as_uri())

    def order() -> list[str]:
        return opened.locator("#metrics tbody tr td:first-child").all_inner_texts()

    head = opened.locator("#metrics th button", has_text="frechet distance")
    head.click()
    assert order() == ["b", "a", "c"]  # by number; a missing value is last
    head.click()
    assert order() == ["a", "b", "c"]
    opened.locator("#metrics th button", has_text="run").first.click()
    assert order() == ["a", "b", "c"]


def test_a_run_has_one_style_in_all_charts_and_is_named_in_each(
    opened: Page,  # noqa: F811
    tmp_path: Path,
) -> None:
    runs = [make_run(tmp_path / name) for name in "ab"]
    with runs[1].metrics.open("a") as file:  # a metric that the first run does not have
        file.write(json.dumps({"images_seen": 1, "seconds": 1, "stage": "train", "alone": 1.0}) + "\n")
    opened.goto(pages.comparison([read(run) for run in runs], tmp_path / "compare.html").as_uri())
    opened.wait_for_function("document.querySelectorAll('.chart .legendtext').length >= 9")
    found = opened.locator(".chart").evaluate_all(STYLES)
    assert len(found) == 9 and len({name for name, *_ in found}) == len(set(map(tuple, found))) == 2


def test_runs_are_distinguishable_without_colours(
    opened: Page,  # noqa: F811
    tmp_path: Path,
) -> None:
    run = read(make_run(tmp_path / "run"))
    row = {"images_seen": 64, "seconds": 1, "stage": "train", "loss": 1.0}
    runs = [replace(run, folder=RunFolder(tmp_path / str(number)), rows=[row], evaluation=None) for number in range(25)]
    opened.goto(pages.comparison(runs, tmp_path / "compare.html").as_uri())
    opened.wait_for_function("document.querySelectorAll('.chart .legendtext').length >= 25")
    found = opened.locator(".chart").evaluate_all(STYLES)
    for style in (lambda one: one[2], lambda one: one[3]):  # the dash, the symbol
        assert len(set(map(style, found[:10]))) == 10 and None not in map(style, found)
    assert len({tuple(style) for _, *style in found}) == 25


def test_a_chart_is_saved_as_svg_under_its_name(
    opened: Page,  # noqa: F811
    tmp_path: Path,
) -> None:
    drawn(opened, tmp_path)
    with opened.expect_download() as saved:
        opened.locator(".chart .modebar-btn").first.click()
    assert saved.value.suggested_filename == "loss_d.svg"
    assert saved.value.path().read_text(encoding="utf-8").startswith("<svg")


def test_the_slider_of_a_comparison_moves_the_images_of_all_runs(
    opened: Page,  # noqa: F811
    tmp_path: Path,
) -> None:
    a, b = (make_run(tmp_path / name) for name in "ab")  # both have sheets at 64, 128 and 192
    (b.samples / "during" / f"{64:09d}.png").unlink()
    (b.samples / "during" / f"{192:09d}.png").rename(b.samples / "during" / f"{160:09d}.png")
    opened.goto(pages.comparison([read(a), read(b)], tmp_path / "compare.html").as_uri())

    def texts() -> list[str]:
        return [opened.locator("#seen").inner_text(), *opened.locator(".sheet figcaption").all_inner_texts()]

    opened.locator("#when").focus()
    seen, images = [texts()], []
    for _ in range(3):
        images.append(opened.locator(".sheet img").first.get_attribute("src"))
        opened.keyboard.press("ArrowLeft")
        seen.append(texts())
    assert seen == [
        ["192", "at 192 images", "at 160 images"],
        ["160", "at 128 images", "at 160 images"],
        ["128", "at 128 images", "at 128 images"],
        ["64", "at 64 images", "no samples yet"],
    ]
    assert opened.locator(".sheet img").first.get_attribute("alt") == "a: samples at 64 images seen"
    assert len(set(images)) == 2 and opened.locator(".sheet img").nth(1).is_hidden()
    assert opened.evaluate("document.documentElement.scrollWidth") <= 390


def test_the_name_of_a_run_may_contain_anything(
    opened: Page,  # noqa: F811
    tmp_path: Path,
) -> None:
    names = ["<img src=x onerror=alert(1)>", "<b>&lt;bold&gt;", "0-" + 12 * "model.lr=0.001,"]
    runs = [make_run(tmp_path / name) for name in names]
    runs[0].last.parent.mkdir()
    runs[0].last.touch()
    for page in (
        pages.report(read(runs[0]), {names[0]: names[0]}, runs[0].report),
        pages.comparison([read(run) for run in runs], tmp_path / "compare.html"),
    ):
        opened.goto(page.as_uri())
        opened.wait_for_function("document.querySelectorAll('.chart .scatterlayer .trace').length >= 4")
        assert names[0] in opened.locator("h1, h3").all_inner_texts()
        assert opened.locator("img[src=x], b").count() == 0
        assert opened.evaluate("document.documentElement.scrollWidth") <= 390
    legend = opened.locator(".chart").first.locator(".legendtext").all_text_contents()
    assert legend == names  # unchanged: plotly interprets tags and entities
    assert opened.locator("#failed li").all_inner_texts() == [f"{name}: no checkpoint" for name in names[1:]]
