"""sweep.resume: what is missing or failed runs, from its checkpoint where it has one, and nothing else."""

from __future__ import annotations

import subprocess
import threading
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from genimg.cli.main import run
from genimg.common.errors import UserError
from genimg.common.files import hold_lock
from genimg.common.run_folder import list_runs
from genimg.sweeps.folder import SweepFolder
from tests.sweeps.conftest import COMMAND, started, sweep_folder, table


def test_resumed_it_does_not_run_again_what_ended_before_its_record_could_tell(outputs: Path) -> None:
    assert run(["-m", "seed=3,4"]) == 0
    folder, jobs = SweepFolder(sweep_folder(outputs)), list_runs(outputs)
    for job in jobs:
        record = folder.read(job.path.name)
        assert record is not None
        folder.write(job.path.name, replace(record, exit_code=None))  # as a kill at that moment leaves it
    jobs[0].final.mkdir(parents=True)
    jobs[0].report.touch()
    assert started(outputs) == {"0", "1"}
    assert run(["-m", f"sweep.resume={folder.path}"]) == 0
    assert started(outputs) == {"1"}, "of this one the page is missing too"
    assert [row["state"] for row in table(outputs)] == ["done", "done"]


def test_resumed_it_runs_what_is_missing_or_failed(outputs: Path) -> None:
    assert run(["-m", "seed=3,1,4", "sweep.fail_fast=true"]) == 1
    assert started(outputs) == {"0", "1"}
    Path("repaired").touch()
    folder = sweep_folder(outputs)
    assert run(["-m", f"sweep.resume={folder}"]) == 0
    assert started(outputs) == {"1", "2"}
    assert [row["state"] for row in table(outputs)] == ["done"] * 3
    assert run(["-m", "seed=3,1,4", f"sweep.resume={folder}"]) == 0, "the same overrides may be given again"
    assert started(outputs) == set()


@pytest.mark.parametrize("other", ["seed=3,1", "seed=1,3,4", "data.batch_size=8", "sweep.seeds=2"])
def test_resumed_with_other_overrides_it_is_refused(outputs: Path, other: str) -> None:
    assert run(["-m", "seed=3,1,4", "sweep.fail_fast=true"]) == 1
    folder = sweep_folder(outputs)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    with pytest.raises(UserError) as refused:
        run(["-m", other, f"sweep.resume={folder}"])
    assert refused.value.key == ("seed" if other == "sweep.seeds=2" else "sweep.resume")
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_a_job_that_was_killed_is_resumed_from_its_checkpoint(outputs: Path) -> None:
    assert run(["-m", "seed=3,4"]) == 0
    folder = sweep_folder(outputs)
    record = folder / ".jobs" / "1-seed_4.json"  # as a kill of the whole machine leaves it
    record.write_text(record.read_text().replace('"exit_code": 0', '"exit_code": null'))
    assert run(["-m", f"sweep.resume={folder}"]) == 0
    assert started(outputs) == {"0", "1"}
    resumed = [OmegaConf.load(one.config).resume for one in list_runs(outputs)]
    assert resumed == [None, str((folder / "1-seed_4").resolve())] or resumed[1].endswith("1-seed_4")


def test_a_job_whose_command_was_killed_saves_before_it_is_resumed(outputs: Path) -> None:
    assert run(["-m", "seed=3,4"]) == 0
    folder, job = SweepFolder(sweep_folder(outputs)), list_runs(outputs)[1]
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


def test_of_a_key_given_twice_the_last_is_meant(outputs: Path) -> None:
    assert run(["-m", "budget.images=64", "seed=3,4", "budget.images=32"]) == 0
    assert table(outputs)[0]["overrides"] == "budget.images=32 seed=3"
    assert run(["-m", f"sweep.resume={sweep_folder(outputs)}"]) == 0


def test_a_sweep_that_runs_is_not_resumed_beside_itself(tmp_path: Path, stand_in: dict[str, str]) -> None:
    command = [*COMMAND, "-m", "seed=9"]
    process = subprocess.Popen(command, cwd=tmp_path, env=stand_in, stdout=subprocess.DEVNULL)
    try:
        while not list(tmp_path.glob("outputs/*/*/*/waits")):
            assert process.poll() is None
            time.sleep(0.05)
        with pytest.raises(UserError, match="a sweep that is not running"):
            run(["-m", f"sweep.resume={sweep_folder(tmp_path / 'outputs')}"])
    finally:
        process.terminate()
        assert process.wait(240) == 143
