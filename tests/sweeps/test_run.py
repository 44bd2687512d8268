"""-m: every combination has its own worker and folder; the table contains every result."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from genimg.common.errors import UserError
from genimg.common.monitored import Monitored
from genimg.common.quoting import quoted
from genimg.common.run_folder import list_runs
from genimg.config.compose import Composer
from genimg.report import compare
from genimg.sweeps import run as sweeps
from genimg.sweeps.folder import Job, SweepFolder
from genimg.sweeps.results import Result, seed_means
from genimg.sweeps.signals import forward_to_jobs
from tests.sweeps.conftest import run, start, sweep_folder, table, wait_for


def test_each_job_has_a_folder_with_its_own_configuration(outputs: Path) -> None:
    assert run(["-m", "seed=0,3", "model.lr=1e-3,1e-4", "data.batch_size=8"]) == 0
    found = list_runs(outputs)
    assert [folder.path.name for folder in found] == [
        "0-seed_0+model.lr_0.001", "1-seed_0+model.lr_0.0001", "2-seed_3+model.lr_0.001", "3-seed_3+model.lr_0.0001",
    ]  # fmt: skip
    configs = [OmegaConf.load(folder.config) for folder in found]
    assert [(c.seed, c.model.lr) for c in configs] == [(0, 1e-3), (0, 1e-4), (3, 1e-3), (3, 1e-4)]
    assert all(folder.path.parent.name.endswith("-sweep") for folder in found)
    names = {path.name for path in found[0].path.iterdir()}
    assert names == {
        ".lock",
        "best.json",
        "checkpoints",
        "command.txt",
        "config.yaml",
        "defaults.yaml",
        "overrides.txt",
        "started",
    }
    assert found[0].command.read_text() == "genimg-train seed=0 model.lr=0.001 data.batch_size=8\n"
    assert "sweep" not in OmegaConf.load(found[0].config), "it does not belong to a run"


def test_the_newest_run_is_the_same_for_every_job(outputs: Path) -> None:
    """init_from=last: the runs of earlier jobs are newer."""
    assert run(["-m", "seed=0"]) == 0
    (first,) = list_runs(outputs)
    assert run(["-m", "init_from=last,null", "data.batch_size=8,16"]) == 0
    begun = [OmegaConf.load(folder.config).init_from for folder in list_runs(outputs)[1:]]
    assert begun == [str(first.path.absolute())] * 2 + [None] * 2
    plan = max(outputs.glob("*/*-sweep*/sweep.json"), key=lambda path: path.stat().st_mtime_ns)
    word = f"init_from={first.path.absolute()},null"
    assert word in plan.read_text()
    with pytest.raises(UserError, match=r"repeat it beside sweep\.resume"):  # the folder may be from someone else
        run(["-m", f"sweep.resume={plan.parent}"])
    assert run(["-m", f"sweep.resume={plan.parent}", word]) == 0


def test_a_folder_of_a_job_can_be_named_on_the_command_line(outputs: Path) -> None:
    assert run(["-m", "seed=0,3", "data.image_size=16,[16,32]"]) == 0
    job = list_runs(outputs)[1].path
    assert job.name == "1-seed_0+data.image_size_16_32_"
    assert run([f"resume={job}", "budget.images=64"]) == 0


@pytest.mark.parametrize("path", ["a/b-1+c_2.d", "it's/a, b", "{a}/$b=[c]", "1", "null"])
def test_quoting_keeps_a_path(path: str) -> None:
    (override,) = Composer("train").parse([f"outputs={quoted(path)}"])
    assert override.value() == path


def test_the_values_of_a_job_have_the_types_of_their_keys(outputs: Path) -> None:
    assert run(["-m", "seed=0,3", "budget.images=1e5"]) == 0
    assert [type(OmegaConf.load(folder.config).budget.images) for folder in list_runs(outputs)] == [int, int]


def test_no_job_starts_when_one_is_wrong(outputs: Path) -> None:
    with pytest.raises(UserError, match=r"data\.batch_size"):
        run(["-m", "data.batch_size=8,0"])
    assert not outputs.exists()


def test_hydra_groups_can_be_overridden(outputs: Path) -> None:
    assert run(["-m", "seed=0,3", "hydra/launcher=basic", "hydra.sweep.dir=outputs/2026-01-01/mine"]) == 0
    assert {folder.path.parent for folder in list_runs(outputs)} == {outputs / "2026-01-01" / "mine"}


def test_the_table_contains_every_job(outputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["-m", "seed=0,3", "model.lr=0.5", "data.batch_size=8"]) == 0
    rows = table(outputs)
    assert [row["overrides"] for row in rows] == [
        "seed=0 model.lr=0.5 data.batch_size=8", "seed=3 model.lr=0.5 data.batch_size=8",
    ]  # fmt: skip
    assert [(row["metric"], float(row["value"]), row["n"], row["state"]) for row in rows] == [
        ("frechet_random", 0.5, "2000", "done"), ("frechet_random", 2.0, "2000", "done"),
    ]  # fmt: skip
    assert all((sweep_folder(outputs) / row["folder"]).is_dir() and float(row["seconds"]) > 0 for row in rows)
    printed = capsys.readouterr().out
    assert "in every job: model.lr=0.5 data.batch_size=8" in printed
    assert [word in printed for word in ("frechet_random", "seed=3", "2,000", "done", "2 of 2 jobs done")] == [True] * 5
    assert "are comparable only" not in printed


def test_the_table_says_which_metrics_are_not_comparable(outputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["-m", "callbacks.frechet_random.num_images=500,1000"]) == 0
    assert [row["n"] for row in table(outputs)] == ["500", "1000"]
    assert "are comparable only" in capsys.readouterr().out


def test_a_failed_job_is_named_and_the_rest_still_runs(outputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["-m", "seed=1,2,3"]) == 1
    assert [row["state"] for row in table(outputs)] == ["failed", "failed", "done"]
    printed = capsys.readouterr().err
    folders = [sweep_folder(outputs) / row["folder"] for row in table(outputs)]
    assert f"job 0 failed: seed 1 fails: here; expected: elsewhere\n  {folders[0]}\n" in printed
    assert f"job 1 failed: seed 2 fails: here; expected: elsewhere\n  {folders[1]}\n" in printed, (
        "a mistake that the worker finds keeps its folder too"
    )


def test_a_folder_that_cannot_be_written_is_one_message(outputs: Path) -> None:
    outputs.touch()
    with pytest.raises(UserError, match=r"outputs: got outputs/.*-sweep\n  expected: a folder that can be written"):
        run(["-m", "seed=0,3"])


def test_fail_fast_starts_no_further_job(outputs: Path) -> None:
    assert run(["-m", "seed=3,1,4", "sweep.fail_fast=true"]) == 1
    assert [row["state"] for row in table(outputs)] == ["done", "failed", "not started"]


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_the_sweep_and_the_table_is_printed(tmp_path: Path, number: int, exit_code: int) -> None:
    outputs = tmp_path / "outputs"
    process = start(tmp_path, "seed=3,9,4", stdout=subprocess.PIPE)
    wait_for(outputs, process, 1)
    os.kill(process.pid, number)
    printed, _ = process.communicate(timeout=240)
    assert process.returncode == exit_code
    assert [row["state"] for row in table(outputs)] == ["done", "stopped", "not started"]
    assert "1 of 3 jobs done" in printed and f"sweep.resume={sweep_folder(outputs).relative_to(tmp_path)}" in printed


def test_ctrl_c_reaches_no_process_that_has_the_process_id_of_a_killed_job(tmp_path: Path) -> None:
    outputs, other = tmp_path / "outputs", subprocess.Popen(["sleep", "600"])
    try:
        process = start(tmp_path, "seed=9,3")
        wait_for(outputs, process, 1)
        process.kill()  # the record of its job stays as it is
        process.wait()
        record = sweep_folder(outputs) / ".jobs" / "0-seed_9.json"
        content = json.loads(record.read_text())
        (sweep_folder(outputs) / ".jobs" / "1-seed_3.json").write_text(json.dumps({**content, "pid": other.pid}))
        with forward_to_jobs(SweepFolder(sweep_folder(outputs)), wait=True) as stop:
            os.kill(os.getpid(), signal.SIGINT)
        assert stop.number == signal.SIGINT
        with pytest.raises(subprocess.TimeoutExpired):
            other.wait(0.5)
    finally:
        other.kill()
        other.wait()


def test_ctrl_c_ends_the_wait_for_a_queue(outputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeps, "LOCAL", ())

    def queue(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(30)

    monkeypatch.setattr(sweeps, "launch", queue)
    assert run(["-m", "seed=3,4"]) == 130
    assert [row["state"] for row in table(outputs)] == ["not started"] * 2


def test_metrics_on_different_numbers_of_images_have_no_mean(tmp_path: Path) -> None:
    def result(seed: int, n: int) -> Result:
        words = ["model.lr=1", f"seed={seed}"]
        best = Monitored("frechet_random", 1.0 + seed, "min", n)
        return Result(Job(words, str(seed)), tmp_path, "done", 1.0, best, None)

    assert [one.mean for one in seed_means([result(0, 500), result(1, 500)])] == [1.5]
    (mixed,) = seed_means([result(0, 500), result(1, 501)])
    assert (mixed.num_seeds, mixed.mean, mixed.half_width) == (2, None, None)


def test_seeds_repeat_every_combination(outputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["-m", "model.lr=1,2", "sweep.seeds=3"]) == 1, "the worker fails for seeds 1 and 2"
    Path("repaired").touch()
    assert run(["-m", f"sweep.resume={sweep_folder(outputs)}"]) == 0
    rows = table(outputs)
    assert [row["overrides"] for row in rows] == [
        f"model.lr={lr} seed={seed}" for lr in (1, 2) for seed in (0, 1, 2)
    ]  # fmt: skip
    # values 1, 2, 3 and 2, 4, 6; t_2 at 0.975 is 4.303
    assert [(row["seeds"], float(row["mean"])) for row in rows] == [("3", 2.0)] * 3 + [("3", 4.0)] * 3
    assert [float(row["half_width_95"]) for row in rows[::3]] == pytest.approx(
        [4.303 / 3**0.5, 8.605 / 3**0.5], rel=1e-3
    )
    printed = capsys.readouterr().out
    assert "2 ± 2.5" in printed and "4 ± 5" in printed
    folder = sweep_folder(outputs)
    assert compare.run({"runs": str(folder), "outputs": str(outputs), "out": str(folder / "comparison.html")}) == 0
    page = (folder / "comparison.html").read_text(encoding="utf-8").partition('id="sweep"')[2].partition("</table>")[0]
    assert [re.findall("<td[^>]*>(.*?)</td>", line) for line in page.split("<tr>")[2:]] == [
        [
            str(3 * lr - 3 + seed),
            f"model.lr={lr} seed={seed}",
            "done",
            "frechet_random",
            str(lr * (1 + seed)),
            "2,000",
            mean,
            "3",
        ]
        for lr, mean in ((1, "2 ± 2.5"), (2, "4 ± 5"))
        for seed in (0, 1, 2)
    ]


def test_a_single_run_refuses_sweep_keys(outputs: Path) -> None:
    with pytest.raises(UserError, match=r"sweep\.seeds.*\n.*-m"):
        run(["sweep.seeds=3"])
    assert not outputs.exists()


def test_sweeps_that_begin_in_the_same_second_have_their_own_folders(outputs: Path) -> None:
    words = ["-m", "seed=0,3", "hydra.sweep.dir=outputs/2026-01-01/10-00-00-sweep"]
    assert [run(words), run(words)] == [0, 0]
    assert {path.parent.name for path in outputs.glob("*/*/sweep.csv")} == {"10-00-00-sweep", "10-00-00-sweep-2"}
    assert {path.parent.parent.name for path in outputs.glob("*/*/*/started")} == {"10-00-00-sweep", "10-00-00-sweep-2"}
