"""sweep.resume runs the missing and failed jobs, from their checkpoints if they have one, and no others."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from genimg.common.errors import UserError
from genimg.common.files import hold_lock
from genimg.common.run_folder import list_runs
from genimg.sweeps.folder import SweepFolder
from tests.sweeps.conftest import run, start, started, sweep_folder, table, wait_for


def test_a_complete_run_without_a_final_record_is_not_run_again(outputs: Path, finished: Path) -> None:
    folder, jobs = SweepFolder(finished), list_runs(outputs)
    for job in jobs:
        record = folder.read(job.path.name)
        assert record is not None
        folder.write(job.path.name, replace(record, exit_code=None))  # as a kill at that moment leaves it
    jobs[0].final.mkdir(parents=True)
    jobs[0].report.touch()
    assert run(["-m", f"sweep.resume={folder.path}"]) == 0
    assert started(outputs) == {"1"}, "the report of this one is missing too"
    assert [row["state"] for row in table(outputs)] == ["done", "done"]


def test_a_resumed_sweep_runs_missing_and_failed_jobs(outputs: Path) -> None:
    assert run(["-m", "seed=3,1,4", "sweep.fail_fast=true"]) == 1
    assert started(outputs) == {"0", "1"}
    Path("repaired").touch()
    folder = sweep_folder(outputs)
    assert run(["-m", f"sweep.resume={folder}"]) == 0
    assert started(outputs) == {"1", "2"}
    assert [row["state"] for row in table(outputs)] == ["done"] * 3
    assert run(["-m", "seed=3,1,4", f"sweep.resume={folder}"]) == 0, "the same overrides may be given again"
    assert started(outputs) == set()


@pytest.mark.parametrize("other", ["seed=0,4", "seed=3,0", "data.batch_size=8", "sweep.seeds=2"])
def test_a_sweep_is_not_resumed_with_other_overrides(finished: Path, other: str) -> None:
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("*")}
    with pytest.raises(UserError) as refused:
        run(["-m", other, f"sweep.resume={finished}"])
    assert refused.value.key == ("seed" if other == "sweep.seeds=2" else "sweep.resume")
    assert {path: path.stat().st_mtime_ns for path in finished.rglob("*")} == before


def test_a_job_that_was_killed_is_resumed_from_its_checkpoint(outputs: Path, finished: Path) -> None:
    record = finished / ".jobs" / "1-seed_3.json"  # as a kill of the machine leaves it
    record.write_text(record.read_text().replace('"exit_code": 0', '"exit_code": null'))
    assert run(["-m", f"sweep.resume={finished}"]) == 0
    assert started(outputs) == {"1"}
    assert OmegaConf.load(finished / "1-seed_3" / "config.yaml").resume.endswith("1-seed_3")


def test_the_printed_command_repeats_the_overrides_that_a_folder_may_not_set(
    outputs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    machine = ["trainer.threads=1", "launch.node_rank=0"]
    assert run(["-m", "seed=0,1,3", *machine]) == 1  # the worker of seed 1 fails
    folder = sweep_folder(outputs)
    record = folder / ".jobs" / "2-seed_3.json"
    record.write_text(record.read_text().replace('"exit_code": 0', '"exit_code": null'))
    with pytest.raises(UserError, match=r"trainer\.threads"):
        run(["-m", f"sweep.resume={folder}"])
    printed = capsys.readouterr().out.rpartition("genimg-train ")[2].split()
    assert printed == ["-m", f"sweep.resume={folder}", *machine]
    assert run(printed) == 1
    config = OmegaConf.load(folder / "2-seed_3" / "config.yaml")
    assert config.resume is not None and config.trainer.threads == 1


def test_a_job_whose_command_was_killed_saves_before_it_is_resumed(outputs: Path, finished: Path) -> None:
    folder, job = SweepFolder(finished), list_runs(outputs)[1]
    record = folder.read(job.path.name)
    assert record is not None
    folder.write(job.path.name, replace(record, exit_code=None))
    job.last.unlink()

    def saves() -> None:
        time.sleep(0.5)
        job.last.touch()
        saved.set()
        holding.close()

    saved, holding = threading.Event(), ExitStack()
    holding.enter_context(hold_lock(job.lock, "resume"))
    threading.Thread(target=saves).start()
    assert run(["-m", f"sweep.resume={folder.path}"]) == 0
    assert saved.is_set() and OmegaConf.load(job.config).resume is not None


def test_the_last_of_two_overrides_of_a_key_counts(outputs: Path) -> None:
    assert run(["-m", "budget.images=64", "seed=3,4", "budget.images=32"]) == 0
    assert table(outputs)[0]["overrides"] == "budget.images=32 seed=3"
    assert run(["-m", f"sweep.resume={sweep_folder(outputs)}"]) == 0


def test_a_running_sweep_is_not_resumed(tmp_path: Path) -> None:
    process = start(tmp_path, "seed=9")
    try:
        wait_for(tmp_path / "outputs", process, 1)
        with pytest.raises(UserError, match="a sweep that is not running"):
            run(["-m", f"sweep.resume={sweep_folder(tmp_path / 'outputs')}"])
    finally:
        process.terminate()
        assert process.wait(240) == 143
