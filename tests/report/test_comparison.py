"""The comparison of runs: its metrics, the best values, and the runs that failed."""

from __future__ import annotations

import json
import re
from html import unescape
from pathlib import Path

import pytest
import torch

from genimg.common import sweep_table
from genimg.common.errors import UserError
from genimg.common.html import data_uri
from genimg.common.run_folder import RunFolder, find_runs
from genimg.report import compare, pages, settings
from genimg.report.run import read
from genimg.sampling.images.files import save_png
from tests.report.made import make_run


def test_a_comparison_marks_the_best_and_lists_differences(tmp_path: Path) -> None:
    runs = [read(make_run(tmp_path / name, lr, frechet)) for name, lr, frechet in (("a", 0.1, 3.0), ("b", 0.2, 2.0))]
    page = pages.comparison(runs, tmp_path / "compare.html").read_text(encoding="utf-8")
    assert re.findall(r'best" data-value="([\d.]+)"', page) == ["2.0", "2.0"]  # frechet_random and frechet distance
    assert "<td>model.lr</td><td>0.1</td><td>0.2</td>" in page
    (tmp_path / "a" / "evaluation.json").unlink()
    pages.comparison([read(RunFolder(tmp_path / "a")), runs[1]], tmp_path / "compare.html")
    assert "<td>run_dir</td>" not in page and "<td>data.name</td>" not in page


def test_a_setting_that_follows_another_is_not_listed(tmp_path: Path) -> None:
    for seed in (0, 1):
        config = make_run(tmp_path / f"{seed}").config
        config.write_text(config.read_text().replace("data:", f"seed: {seed}\ndata:\n  seed: {seed}"))
    runs = [read(RunFolder(tmp_path / name)) for name in ("0", "1")]
    assert settings.between(runs) == {"seed": ["0", "1"]}


@pytest.mark.parametrize("other", ["extractor", "n", "data", "frechet_random", "nothing"])
def test_the_best_is_marked_only_if_values_are_comparable(tmp_path: Path, other: str) -> None:
    runs = [make_run(tmp_path / name, frechet=frechet) for name, frechet in (("a", 3.0), ("b", 2.0))]
    evaluation = json.loads((runs[1].path / "evaluation.json").read_text())
    if other == "extractor":
        evaluation["extractor"]["digest"] = "f" * 16
    elif other == "n":
        evaluation["figures"][0]["n"] = 39  # fewer than requested
    elif other == "data":
        evaluation["data"] = {"digest": "f" * 16}
        runs[1].config.write_text("model:\n  _target_: genimg.models.gan.GAN\n  name: gan\ndata:\n  name: mnist\n")
    elif other == "frechet_random":
        runs[1].metrics.write_text(runs[1].metrics.read_text().replace('"n": 500', '"n": 640'))
    (runs[1].path / "evaluation.json").write_text(json.dumps(evaluation))
    page = pages.comparison([read(run) for run in runs], tmp_path / "compare.html").read_text(encoding="utf-8")
    marked = re.findall(r'best" data-value="([\d.]+)"', page)
    assert marked == {"nothing": ["2.0", "2.0"], "data": []}.get(other, ["2.0"])
    beside = {"frechet_random": ["500", "640"], "n": ["40", "39"]}.get(other, [])
    assert re.findall(r'class="unit">n (\d+)<', page) == beside
    of_all = re.findall(r"<button>[^<]*[( ]n (\d+)\)</button>", page)
    assert of_all == {"frechet_random": ["32", "32", "40"], "n": ["32", "32", "500"]}.get(
        other, ["32", "32", "500", "40"]
    )


def test_a_comparison_shows_samples_and_no_reconstructions(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / name) for name in "ab"]
    (runs[1].samples / "final" / "sheet.png").unlink()  # the run was stopped
    save_png(torch.ones(1, 8, 8, dtype=torch.uint8), runs[1].samples / "during" / f"{64:09d}-reconstructions.png")
    page = pages.comparison([read(run) for run in runs], tmp_path / "compare.html").read_text(encoding="utf-8")
    last = data_uri((runs[1].samples / "during" / f"{192:09d}.png").read_bytes(), "image/png")
    assert f'src="{last}" alt="b: samples at 192 images seen"' in page


def test_runs_to_compare_are_two_or_a_sweep(tmp_path: Path) -> None:
    a, b = (make_run(tmp_path / "sweep" / name) for name in "ab")
    assert find_runs(str(tmp_path / "sweep"), tmp_path) == [a, b]
    assert find_runs([str(a.path), str(b.path)], tmp_path) == [a, b]
    for wrong in (None, [str(a.path)], [str(a.path), str(a.path)], str(tmp_path / "sweep" / "a")):
        with pytest.raises(UserError, match="two or more different runs"):
            find_runs(wrong, tmp_path)


def test_failed_jobs_of_a_sweep_are_listed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    sweep = tmp_path / "sweep"
    for name in ("complete", "late", "resumed"):
        run = make_run(sweep / name)
        run.last.parent.mkdir()
        run.last.touch()
    error = "2026-01-01 00:00:00,000 ERROR   genimg: error: the run failed with ValueError: nan"
    for name, more in (("late", ""), ("resumed", "2026-01-01 00:00:00,000 INFO    genimg: machine   CPU\n")):
        with (sweep / name / "train.log").open("a") as file:
            file.write(f"{error}\nand more of it\n{more}")
    begun = RunFolder(sweep / "begun")
    begun.path.mkdir()
    begun.config.write_text("model:\n  name: gan\n  lr: 9.0\n")
    (sweep / "broken").mkdir()
    (sweep / "broken" / "config.yaml").write_text("a: [")
    page = compare.write_comparison(find_runs(str(sweep), tmp_path), tmp_path / "compare.html").read_text()
    named = re.findall("<li>(.*?)</li>", page)
    assert named[:2] == ["begun: no checkpoint", "late: the run failed with ValueError: nan"]
    assert len(named) == 3 and named[2].startswith("broken: ") and "config.yaml" in caplog.text
    assert "<td>model.lr</td><td>9.0</td><td>0.1</td>" in page  # failed runs are compared with the others


TABLE = "job,overrides,state,seconds,metric,value,n,folder,error\n"


def test_the_comparison_of_a_sweep_folder_shows_its_table(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / "sweep" / name) for name in "01"]
    hostile = "<b>x</b>" * 30
    (tmp_path / "sweep" / "sweep.csv").write_text(
        f'{TABLE}0,"a={hostile}, b",<i>,1.5,<u>,12345.6,2000,0,\n1,a=2,failed,,,,,1,"it is\nover"\n'
    )

    def page(given: str | list[str]) -> str:
        assert compare.run({"runs": given, "outputs": str(tmp_path), "out": str(tmp_path / "page.html")}) == 0
        return (tmp_path / "page.html").read_text(encoding="utf-8")

    of_sweep = page(str(tmp_path / "sweep"))
    table = of_sweep.partition('id="sweep"')[2].partition("</table>")[0]
    assert [unescape(cell) for cell in re.findall("<td[^>]*>(.*?)</td>", table)] == [
        "0", f"a={hostile}, b", "<i>", "<u>", "12,346", "2,000", "1", "a=2", "failed", "", "", "",
    ]  # fmt: skip
    assert "<b>" not in of_sweep and "mean" not in table
    of_runs = page([str(run.path) for run in runs])
    (tmp_path / "sweep" / "sweep.csv").unlink()
    assert 'id="sweep"' not in of_runs and page(str(tmp_path / "sweep")) == of_runs


@pytest.mark.parametrize(
    "damaged",
    [
        f"{TABLE}0,a=1\n", f"{TABLE}0,,,,,,,,,more\n", "job\n0\n", f"{TABLE}x,,,,,,,,\n",
        f"{TABLE}0,,,inf,,,,,\n", f"{TABLE}0,,,,,nan,,,\n", f"{TABLE}{'9' * 400},,,,,,,,\n",
        "\xff", TABLE + "9" * 200_000,
        TABLE + "0,,,,,,,,\n" * (sweep_table.MAX_ROWS + 1),
    ],
)  # fmt: skip
def test_a_damaged_sweep_table_is_skipped_with_a_warning(
    tmp_path: Path, damaged: str, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "sweep.csv").write_text(damaged, encoding="latin-1")
    assert compare.read_sweep_table(tmp_path) == []
    assert "sweep.csv" in caplog.text


def test_a_sweep_table_is_not_read_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(f"{TABLE}0,secret,done,,,,,0,\n")
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / "sweep.csv").symlink_to(tmp_path / "secret")
    assert (
        len(sweep_table.parse((tmp_path / "secret").read_text())) == 1
        and compare.read_sweep_table(tmp_path / "sweep") == []
    )


def test_a_comparison_without_readable_runs_is_refused(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.yaml").write_text("a: [")
    with pytest.raises(UserError, match=r"a.config\.yaml"):
        compare.write_comparison(find_runs(str(tmp_path), tmp_path), tmp_path / "compare.html")
    assert not (tmp_path / "compare.html").exists()


def test_the_page_gets_the_suffix_html(tmp_path: Path) -> None:
    for name in "ab":
        make_run(tmp_path / name)
    runs = [str(tmp_path / name) for name in "ab"]
    assert compare.run({"runs": runs, "outputs": str(tmp_path), "out": str(tmp_path / "mine")}) == 0
    assert (tmp_path / "mine.html").exists() and not (tmp_path / "mine").exists()
