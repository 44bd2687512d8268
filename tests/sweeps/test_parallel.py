"""Jobs side by side: each takes a share of the machine, all stop together and end with the command."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from genimg.common.errors import UserError
from genimg.sweeps import resources
from tests.sweeps.conftest import all_end, finish, run, running, start, sweep_folder, table, wait_for

JOBLIB = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
SEARCH = ["hydra/sweeper=optuna", "hydra.sweeper.n_trials=2", "model.lr=interval(1e-4,1e-2)"]  # joblib starts twice


def trainer(devices: int = 1, accelerator: str = "auto") -> object:
    return OmegaConf.create({"trainer": {"devices": devices, "accelerator": accelerator, "threads": None}})


def install_gpus(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts an nvidia-smi that lists so many GPUs first in the search path, and hides the driver's own list."""
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\n" + "".join(f"echo GPU {index}:\n" for index in range(number)))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    is_dir = Path.is_dir
    monkeypatch.setattr(Path, "is_dir", lambda path: "nvidia" not in path.parts and is_dir(path))


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
def test_gpus_are_divided_between_jobs(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    num_jobs: int,
    devices: int,
    visible: str | None,
    count: int,
    gpus: tuple[str, ...],
) -> None:
    install_gpus(4, tmp_path, monkeypatch)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    shared = resources.divide_machine(num_jobs, trainer(devices).trainer)  # type: ignore[attr-defined]
    assert (shared.count, shared.gpus) == (count, gpus)


def test_threads_are_divided_and_a_slot_has_one_owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_gpus(2, tmp_path, monkeypatch)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(7)), raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS")
    on_cpu = trainer(accelerator="cpu")
    shared = resources.divide_machine(2, on_cpu.trainer)  # type: ignore[attr-defined]
    assert shared == resources.Slots(2, (), 3) and resources.divide_machine(-1, on_cpu.trainer).count == 7  # type: ignore[attr-defined]
    with shared.acquire(tmp_path) as first:
        with shared.acquire(tmp_path) as second:
            assert {first, second} == {0, 1}
        with shared.acquire(tmp_path) as third:
            assert third == second
    config = OmegaConf.create({"trainer": {"threads": None}})
    shared.apply(0, config)
    assert config.trainer.threads == 3
    shared.apply(0, own := OmegaConf.create({"trainer": {"threads": 1}}))
    assert own.trainer.threads == 1


def test_jobs_run_side_by_side_and_a_failure_affects_no_other(tmp_path: Path) -> None:
    outputs = tmp_path / "outputs"
    assert finish(tmp_path, *JOBLIB, "seed=0,1,3") == 1
    assert [row["state"] for row in table(outputs)] == ["done", "failed", "done"]
    assert table(outputs)[1]["error"] == "seed 1 fails: here; expected: elsewhere"
    threads = {path.read_text().rpartition(" ")[2] for path in sweep_folder(outputs).glob("*/started")}
    assert threads == {str(max(1, len(os.sched_getaffinity(0)) // 2))}


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_a_stopped_or_killed_sweep_leaves_no_process_behind_and_can_be_resumed(
    tmp_path: Path, number: int, exit_code: int
) -> None:
    outputs = tmp_path / "outputs"
    process = start(tmp_path, *JOBLIB, "seed=8,9,4")
    wait_for(outputs, process, 2)
    assert len(running(tmp_path)) > 3
    os.kill(process.pid, number)
    assert process.wait(240) == exit_code
    all_end(tmp_path)
    if number == signal.SIGINT:
        assert [row["state"] for row in table(outputs)] == ["stopped", "stopped", "not started"]
    assert finish(tmp_path, f"sweep.resume={sweep_folder(outputs)}", "hydra/launcher=basic") == 0
    assert [row["state"] for row in table(outputs)] == ["done"] * 3


def test_a_process_without_a_job_ends_with_the_command_too(tmp_path: Path) -> None:
    process = start(tmp_path, *JOBLIB, "seed=8")
    wait_for(tmp_path / "outputs", process, 1)
    assert sum("LokyProcess" in one for one in running(tmp_path)) == 2, "one of them has no job"
    process.kill()
    assert process.wait(60) == -signal.SIGKILL
    all_end(tmp_path)


def test_a_missing_launcher_is_an_error_that_names_the_extra(outputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for plugin in ("hydra_joblib_launcher", "hydra_submitit_launcher"):
        monkeypatch.setitem(sys.modules, f"hydra_plugins.{plugin}", None)
    with pytest.raises(UserError, match=r"pip install .*\[joblib\]"):
        run(["-m", *JOBLIB, "seed=3,4"])
    with pytest.raises(UserError, match=r"pip install .*\[slurm\]"):
        run(["-m", "hydra/launcher=submitit_slurm", "seed=3,4"])


def test_a_job_whose_process_dies_is_unfinished_in_the_table(tmp_path: Path) -> None:
    outputs = tmp_path / "outputs"
    process = start(tmp_path, *JOBLIB, "seed=9,3", stderr=subprocess.PIPE)
    wait_for(tmp_path / "outputs", process, 1)
    record = json.loads((sweep_folder(outputs) / ".jobs" / "0-seed_9.json").read_text())
    os.kill(record["pid"], signal.SIGKILL)
    _, printed = process.communicate(timeout=240)
    assert process.returncode == 1 and "the launcher ended early" in printed and "Traceback" not in printed
    assert table(outputs)[0]["state"] == "unfinished"


@pytest.mark.parametrize("words", [["seed=0,3"], [*SEARCH, "seed=0"]], ids=["jobs", "search"])
def test_no_process_outlives_the_command(words: list[str], tmp_path: Path) -> None:
    with open(tmp_path / "printed", "w+") as printed:  # a pipe would wait for them
        start(tmp_path, *JOBLIB, *words, stdout=printed, stderr=printed).wait(240)
        assert running(tmp_path) == []
        printed.seek(0)
        assert "Traceback" not in printed.read()
