"""Jobs side by side: each with a share of the machine, stopped together, gone when the command is."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from genimg.cli.main import run
from genimg.common.errors import UserError
from genimg.sweeps import engines, places
from tests.sweeps.conftest import COMMAND, all_end, running, sweep_folder, table

JOBLIB = ["-m", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
SEARCH = ["hydra/sweeper=optuna", "hydra.sweeper.n_trials=2", "model.lr=interval(1e-4,1e-2)"]  # joblib begins twice


def trainer(devices: int = 1, accelerator: str = "auto") -> object:
    return OmegaConf.create({"trainer": {"devices": devices, "accelerator": accelerator, "threads": None}})


@pytest.mark.parametrize(
    ("num_jobs", "devices", "visible", "count", "gpus"),
    [
        (-1, 1, None, 4, ("0", "1", "2", "3")),
        (-1, 2, None, 2, ("0,1", "2,3")),
        (-1, 3, None, 1, ("0,1,2",)),
        (6, 2, None, 6, ("0,1", "2,3")),
        (-1, 1, "5,GPU-ab", 2, ("5", "GPU-ab")),
    ],
)
def test_gpus_are_shared_out(
    monkeypatch: pytest.MonkeyPatch, num_jobs: int, devices: int, visible: str | None, count: int, gpus: tuple[str, ...]
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    monkeypatch.setattr(places, "count_gpus", lambda: 4 if visible is None else visible.count(",") + 1)
    shared = places.share_out(num_jobs, trainer(devices).trainer)  # type: ignore[attr-defined]
    assert (shared.count, shared.gpus) == (count, gpus)


def test_threads_are_shared_out_and_none_is_taken_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "count_gpus", lambda: 2)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(7)))
    monkeypatch.delenv("OMP_NUM_THREADS")
    on_cpu = trainer(accelerator="cpu")
    shared = places.share_out(2, on_cpu.trainer)  # type: ignore[attr-defined]
    assert shared == places.Places(2, (), 3) and places.share_out(-1, on_cpu.trainer).count == 7  # type: ignore[attr-defined]
    with shared.taken(tmp_path) as first:
        with shared.taken(tmp_path) as second:
            assert {first, second} == {0, 1}
        with shared.taken(tmp_path) as third:
            assert third == second
    config = OmegaConf.create({"trainer": {"threads": None}})
    shared.give(0, config)
    assert config.trainer.threads == 3
    shared.give(0, own := OmegaConf.create({"trainer": {"threads": 1}}))
    assert own.trainer.threads == 1


def test_jobs_run_side_by_side_and_fail_alone(tmp_path: Path, stand_in: dict[str, str]) -> None:
    outputs = tmp_path / "outputs"
    done = subprocess.run([*COMMAND, *JOBLIB, "seed=0,1,3"], cwd=tmp_path, env=stand_in, timeout=240, check=False)
    assert done.returncode == 1
    assert [row["state"] for row in table(outputs)] == ["done", "failed", "done"]
    assert table(outputs)[1]["error"] == "seed 1 fails: here; expected: elsewhere"
    threads = {path.read_text().rpartition(" ")[2] for path in sweep_folder(outputs).glob("*/started")}
    assert threads == {str(max(1, len(os.sched_getaffinity(0)) // 2))}


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_stopped_or_killed_it_leaves_no_process_behind_and_can_be_resumed(
    tmp_path: Path, stand_in: dict[str, str], number: int, exit_code: int
) -> None:
    outputs = tmp_path / "outputs"
    process = subprocess.Popen([*COMMAND, *JOBLIB, "seed=8,9,4"], cwd=tmp_path, env=stand_in)
    while len(list(outputs.glob("*/*/*/waits"))) < 2:
        assert process.poll() is None
        time.sleep(0.05)
    assert len(running(tmp_path)) > 3
    os.kill(process.pid, number)
    assert process.wait(240) == exit_code
    all_end(tmp_path)
    if number == signal.SIGINT:
        assert [row["state"] for row in table(outputs)] == ["stopped", "stopped", "not started"]
    resume = [*COMMAND, "-m", f"sweep.resume={sweep_folder(outputs)}", "hydra/launcher=basic"]
    assert subprocess.run(resume, cwd=tmp_path, env=stand_in, timeout=240, check=False).returncode == 0
    assert [row["state"] for row in table(outputs)] == ["done"] * 3


def test_a_process_that_waits_for_a_job_ends_with_the_command_too(tmp_path: Path, stand_in: dict[str, str]) -> None:
    process = subprocess.Popen([*COMMAND, *JOBLIB, "seed=8"], cwd=tmp_path, env=stand_in)
    while not list((tmp_path / "outputs").glob("*/*/*/waits")):
        assert process.poll() is None
        time.sleep(0.05)
    assert sum("LokyProcess" in one for one in running(tmp_path)) == 2, "one of them has no job"
    process.kill()
    assert process.wait(60) == -signal.SIGKILL
    all_end(tmp_path, seconds=20)


def test_without_joblib_it_says_what_to_install(outputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install .*\[joblib\]"):
        run([*JOBLIB, "seed=3,4"])
    with pytest.raises(UserError, match=r"pip install .*\[slurm\]"):
        run(["-m", "hydra/launcher=submitit_slurm", "seed=3,4"])


def test_a_process_that_dies_ends_in_a_table(tmp_path: Path, stand_in: dict[str, str]) -> None:
    outputs = tmp_path / "outputs"
    command = [*COMMAND, *JOBLIB, "seed=9,3"]
    process = subprocess.Popen(command, cwd=tmp_path, env=stand_in, stderr=subprocess.PIPE, text=True)
    while not list(outputs.glob("*/*/*/waits")):
        assert process.poll() is None
        time.sleep(0.05)
    record = json.loads((sweep_folder(outputs) / ".jobs" / "0-seed_9.json").read_text())
    os.kill(record["pid"], signal.SIGKILL)
    _, told = process.communicate(timeout=240)
    assert process.returncode == 1 and "the launcher ended early" in told and "Traceback" not in told
    assert table(outputs)[0]["state"] == "unfinished"


@pytest.mark.parametrize("words", [["seed=0,3"], [*SEARCH, "seed=0"]], ids=["jobs", "search"])
def test_when_it_has_ended_nothing_of_it_runs_any_more(
    words: list[str], tmp_path: Path, stand_in: dict[str, str]
) -> None:
    with open(tmp_path / "told", "w+") as told:  # the end of a pipe would be theirs
        subprocess.run([*COMMAND, *JOBLIB, *words], cwd=tmp_path, env=stand_in, stdout=told, stderr=told, check=False)
        assert running(tmp_path) == []
        told.seek(0)
        assert "Traceback" not in told.read()
