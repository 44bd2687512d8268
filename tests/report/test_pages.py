"""The pages: complete in one file, escaped, and consistent with the files of the run."""

from __future__ import annotations

import json
import os
import re
import shlex
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch
from hydra.core.override_parser.overrides_parser import OverridesParser

from genimg.common.errors import UserError
from genimg.common.run_folder import RunFolder
from genimg.report import charts, pages
from genimg.report.run import read
from genimg.sampling.images.files import save_gif
from tests.report.made import make_run

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"


class Addresses(HTMLParser):
    """The addresses that a page refers to, and its elements."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.elements: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.found += [value or "" for name, value in attrs if name in ("src", "href")]


def test_a_report_is_one_file_without_external_resources(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    page = pages.report(read(run), {"torch": "2.14.1"}, run.report).read_text(encoding="utf-8")
    addresses = Addresses(page).found
    assert addresses and all(address.startswith("data:") for address in addresses)
    for text in (
        "genimg-train model.lr=0.1",
        "resume=",
        "frechet distance",
        "no probability",
        "CPU, 2 threads",
        "2.14.1",
    ):
        assert text in page
    sheets = json.loads(re.findall(r'id="sheets">(.*?)</script>', page, re.DOTALL)[0])
    assert [sheet["images_seen"] for sheet in sheets] == [64, 128, 192]
    assert len({sheet["image"] for sheet in sheets}) == 3


@pytest.mark.parametrize("name", ["plain", "0-lr=1,width=4", "my run's", '<img src="x" onerror=alert(1)>', 'a\\"b$c\\'])
def test_the_commands_of_a_report_quote_the_run(tmp_path: Path, name: str) -> None:
    run = make_run(tmp_path / name)
    page = pages.report(read(run), {}, run.report).read_text(encoding="utf-8")
    shown = [unescape(command) for command in re.findall("<pre>(genimg.*?)</pre>", page)]
    words = [shlex.split(command) for command in shown if str(tmp_path) in command]
    assert [part[1] for part in words[1:]] == ["sample", "evaluate", "report"]
    assert words[0][2:] == ["budget.images=2000", "budget.minutes=3.0"], "the run has reached its end"
    given = [word for part in words for word in part if word.startswith(("run=", "resume="))]
    assert [override.value() for override in OverridesParser.create().parse_overrides(given)] == [str(run.path)] * 4


@pytest.mark.parametrize(
    "limit", ["images=1; touch x #", "images: true", "images: .inf", "images: -1", "minutes: null"]
)
def test_an_untrusted_budget_is_not_part_of_a_command(tmp_path: Path, limit: str) -> None:
    run = make_run(tmp_path / "run")
    name, _, value = limit.partition(": ")
    run.config.write_text(f"model:\n  name: gan\ndata:\n  name: digits\nbudget:\n  '{name}': {value or 5}\n")
    page = pages.report(read(run), {}, run.report).read_text(encoding="utf-8")
    assert re.findall("<pre>(genimg-train resume.*?)</pre>", page) == [f"genimg-train resume={run.path}"]


def test_an_animation_replaces_its_sheet(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    save_gif(torch.randint(0, 256, (4, 1, 8, 8), dtype=torch.uint8), run.samples / "during" / f"{128:09d}.gif")
    assert [path.suffix for _, path in read(run).sheets] == [".png", ".gif", ".png"]


def test_names_and_notes_are_escaped(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", note=HOSTILE)
    run.overrides.write_text(HOSTILE)
    with run.metrics.open("a") as file:
        file.write(json.dumps({"images_seen": 1, "seconds": 1, "stage": HOSTILE, HOSTILE: 1.0}) + "\n")
    for page in (
        pages.report(read(run), {HOSTILE: HOSTILE}, run.report),
        pages.comparison([read(run), read(make_run(tmp_path / "other", note=HOSTILE))], tmp_path / "compare.html"),
    ):
        text = page.read_text(encoding="utf-8")
        assert HOSTILE not in text and "<script>alert" not in text
        assert "x" not in Addresses(text).found


def test_a_report_lists_settings_that_differ_from_the_defaults(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    run.config.write_text("model:\n  name: gan\n  lr: 0.1\ndata:\n  size: [16, 24]\noutputs: here\n")
    run.defaults.write_text("model:\n  name: gan\n  lr: 0.2\ndata:\n  size: 32\noutputs: outputs\n")
    page = pages.report(read(run), {}, run.report).read_text(encoding="utf-8")
    found = re.findall("<td>(.*?)</td><td>(.*?)</td><td>(.*?)</td></tr>", page.partition('id="changes"')[2])
    assert found == [("model.lr", "0.2", "0.1"), ("data.size", "32", "[16, 24]")]


@pytest.mark.parametrize("defaults", [None, "a: [", "\0"])
def test_without_defaults_a_report_lists_the_overrides(tmp_path: Path, defaults: str | None) -> None:
    run = make_run(tmp_path / "run")
    if defaults:
        run.defaults.write_text(defaults)
    page = pages.report(read(run), {}, run.report).read_text(encoding="utf-8")
    assert "defaults of this run are not available" in page and "<pre>model.lr=0.1</pre>" in page


def test_a_sequence_model_counts_clips(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    run.config.write_text("data:\n  name: moving_digits\n  num_frames: 8\n")
    for page in (
        pages.report(read(run), {}, run.report),
        pages.comparison([read(run), read(run)], tmp_path / "compare.html"),
    ):
        text = page.read_text(encoding="utf-8")
        assert "clips seen" in text
        assert "images seen" not in text


def test_a_run_without_images_or_metrics_has_a_report(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    run.path.mkdir()
    run.config.write_text("model:\n  name: gan\n")
    page = pages.report(read(run), {}, run.report).read_text(encoding="utf-8")
    assert "Not evaluated yet" in page and "plotly" not in page.lower()


def test_links_out_of_the_run_and_files_that_are_not_images_are_skipped(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    (tmp_path / "secret").write_bytes(b"\x89PNG secret")
    (run.samples / "final" / "sheet.png").unlink()
    (run.samples / "final" / "sheet.png").symlink_to(tmp_path / "secret")
    (run.samples / "during" / f"{64:09d}.png").write_bytes(b"no image")
    run.log.unlink()
    run.log.symlink_to(tmp_path / "secret")
    found = read(run)
    assert found.images() == {} and [seen for seen, _ in found.sheets] == [128, 192] and found.machine == []


def test_a_file_that_is_too_large_is_skipped_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = make_run(tmp_path / "run")
    for path in (run.metrics, run.samples / "final" / "sheet.png"):
        os.truncate(path, 2**40)  # a sparse file
    found = read(run)
    assert found.rows == [] and run.samples / "final" / "sheet.png" not in found.images().values()
    assert "metrics.jsonl" in caplog.text and "sheet.png" in caplog.text


def test_a_damaged_row_is_skipped_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = make_run(tmp_path / "run")
    rows = len(read(run).rows)
    with run.metrics.open("a") as file:
        file.write('{"images_seen": 12\n' + "[" * 100_000)
    assert len(read(run).rows) == rows
    assert "metrics.jsonl" in caplog.text


@pytest.mark.parametrize("change", ["format", "figures", "extractor", "preprocessing", "refused"])
def test_a_damaged_evaluation_is_skipped_with_a_warning(
    tmp_path: Path, change: str, caplog: pytest.LogCaptureFixture
) -> None:
    run = make_run(tmp_path / "run")
    evaluation = run.path / "evaluation.json"
    content = json.loads(evaluation.read_text())
    evaluation.write_text(json.dumps(content | {change: [{"name": 1}]}))
    assert read(run).evaluation is None and "evaluation.json" in caplog.text
    assert "Not evaluated yet" in pages.report(read(run), {}, run.report).read_text(encoding="utf-8")


def test_a_damaged_configuration_is_a_user_error(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    run.config.write_text("a: [")
    with pytest.raises(UserError, match=r"config\.yaml"):
        read(run)


def test_a_configuration_without_data_has_a_page(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    run.config.write_text("data: digits\nmodel: {name: gan}\n")
    page = pages.report(read(run), {}, run.report)
    assert "images seen" in page.read_text(encoding="utf-8")
    pages.comparison([read(run), read(run)], tmp_path / "comparison.html")


def test_rows_without_images_seen_and_values_that_are_not_numbers_are_skipped(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = make_run(tmp_path / "run")
    row = '{"images_seen": 1, "seconds": 1, "stage": "val", "a": "x", "b": 2}'
    damaged = ('{"loss": 1}', "[]", "", "[" * 100_000, f'{{"images_seen": 1, "seconds": 1{400 * "0"}}}')
    run.metrics.write_bytes("\n".join([*damaged, row, ""]).encode() + b'{"images_seen": 1, "\xed\xa0\x80": 1}\n')
    assert read(run).rows == [{"images_seen": 1, "seconds": 1, "stage": "val", "b": 2}]
    assert [record.message for record in caplog.records] == [
        f"{run.metrics}: 6 damaged lines are skipped, the first is line 1"
    ]


def test_charts_and_sheets_are_bounded(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = make_run(tmp_path / "run")
    rows = [{"images_seen": at, "seconds": 1, "stage": "train", f"m{at}": 1.0} for at in range(30_000)]
    run.metrics.write_text("".join(json.dumps(row) + "\n" for row in rows))
    for at in range(1, 5):
        with (run.samples / "during" / f"{at:09}.png").open("wb") as file:
            file.write(b"\x89PNG")
            file.truncate(60 * 2**20)  # sparse
    found = read(run)
    assert len(found.rows) == 10_000
    assert found.rows[-1] == rows[-1]
    assert len({name for row in found.rows for name in row}) <= 203
    assert sum(path.stat().st_size for _, path in found.sheets) <= 2**27
    assert "sheets are shown" in caplog.text


def test_curves_have_both_stages_and_few_points(tmp_path: Path) -> None:
    found = {chart["name"]: chart for chart in charts.of_run(read(make_run(tmp_path / "run")))}
    assert [trace["name"] for trace in found["loss_d"]["traces"]] == ["train", "val"]
    assert len(found["loss_d"]["traces"][0]["x"]) <= charts.POINTS
    assert next(reversed(found)) == "lr"  # metrics of the training process are last


def test_a_curve_has_a_description_of_all_its_points(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    values = [0.5, 12.34567, *[1.0] * 3000, 0.25, 0.123456]  # more than a curve has points
    rows = [{"images_seen": at, "seconds": 1, "stage": "train", "loss": value} for at, value in enumerate(values)]
    rows += [{"images_seen": at, "seconds": 1, "stage": "val", "loss": value} for at, value in enumerate((3.5, None))]
    rows += [{"images_seen": 9, "seconds": 1, "stage": "val", HOSTILE: 2.0}]
    run.metrics.write_text("".join(json.dumps(row) + "\n" for row in rows))
    page = pages.report(read(run), {}, run.report).read_text(encoding="utf-8")
    assert [unescape(label) for label in re.findall('role="img" aria-label="([^"]*)"', page)] == [
        "loss over images seen. train: first 0.5, last 0.1235, between 0.1235 and 12.35; "
        "val: first 3.5, last not finite",
        f"{HOSTILE} over images seen. val: 2",
    ]


def test_images_have_alternative_texts(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    images = run.final / "images"
    images.mkdir()
    for number in range(10):
        (images / f"{number}.png").touch()
    (run.path / "nearest.png").write_bytes((run.final / "sheet.png").read_bytes())
    run.config.write_text("data: {name: digits, image_size: [16, 24]}\ncallbacks: {samples: {num_images: 40}}\n")

    def alt_texts(page: Path) -> list[str]:
        return re.findall('<img [^>]*alt="([^"]+)"', page.read_text(encoding="utf-8"))

    final, nearest = (
        "10 samples of 16 x 24 at the end of training",
        "Samples, each beside its nearest training image",
    )
    alts = alt_texts(pages.report(read(run), {}, run.report))
    assert alts == ["40 samples of 16 x 24 at 192 images seen", final, f"{nearest}, 16 x 24 each"]
    bare = make_run(tmp_path / "bare")
    bare.config.write_text("data: {name: digits, num_frames: 3, image_size: [a, b]}\ncallbacks: 3\n")
    assert alt_texts(pages.report(read(bare), {}, bare.report)) == [
        "clips at 192 clips seen",
        "clips at the end of training",
    ]
    compared = alt_texts(pages.comparison([read(run), read(bare)], tmp_path / "compare.html"))
    assert compared == [f"run: {final}", "bare: clips at the end of training"]


def test_settings_that_changed_on_resuming_are_shown(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    lines = [
        "changed   model.lr 0.2 -> 0.1, from 12,288 images on",
        f"changed   model.name {HOSTILE} -> gan, from 64 images on",
    ]
    with run.log.open("a") as file:
        file.writelines(
            f"2026-01-01 00:00:00,000 INFO    genimg.training.changes: {line}\n" for line in [*lines, lines[0]]
        )
    page = pages.report(read(run), {}, run.report).read_text()
    assert page.count("model.lr 0.2 -&gt; 0.1, from 12,288 images on") == 1
    assert HOSTILE not in page
