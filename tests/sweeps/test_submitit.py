"""Jobs that submitit starts, by its local executor, which does what SLURM does: queue, tell, queue again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from genimg.sweeps.apart import saved_before_requeue
from tests.sweeps.conftest import COMMAND, all_end, sweep_folder, table

SUBMITIT = ["-m", "hydra/launcher=submitit_local"]


def start(tmp_path: Path, environment: dict[str, str], *words: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([*COMMAND, *SUBMITIT, *words], cwd=tmp_path, env=environment, start_new_session=True)


def wait_for(outputs: Path, process: subprocess.Popen[bytes], num_jobs: int) -> None:
    """Until the workers of so many jobs wait for a signal."""
    while len(list(outputs.glob("*/*/*/waits"))) < num_jobs:
        assert process.poll() is None
        time.sleep(0.05)


@pytest.mark.slow
def test_a_job_that_is_queued_again_goes_on_from_its_checkpoint(tmp_path: Path, stand_in: dict[str, str]) -> None:
    outputs = tmp_path / "outputs"
    process = start(tmp_path, stand_in, "seed=9,1,3")
    wait_for(outputs, process, 1)
    record = json.loads((sweep_folder(outputs) / ".jobs" / "0-seed_9.json").read_text())
    os.kill(record["pid"], signal.SIGUSR2)  # what submitit has SLURM send before it ends a job
    assert process.wait(240) == 1
    assert [row["state"] for row in table(outputs)] == ["done", "failed", "done"]
    assert table(outputs)[1]["error"] == "seed 1 fails: here; expected: elsewhere"
    folder = sweep_folder(outputs)
    commands = (folder / "0-seed_9" / "command.txt").read_text().splitlines()
    assert len(commands) == 2 and "resume=" in commands[1], "it was resumed, in the same folder"
    before = set((folder / ".submitit").iterdir())
    again = start(tmp_path, stand_in, f"sweep.resume={folder}")
    assert again.wait(240) == 1
    (more,) = set((folder / ".submitit").iterdir()) - before
    assert list(more.glob("*/*_result.pkl")), "results are read from where nobody else has put any"


def test_ctrl_c_stops_what_runs_here(tmp_path: Path, stand_in: dict[str, str]) -> None:
    outputs = tmp_path / "outputs"
    process = start(tmp_path, stand_in, "seed=7,8")
    wait_for(outputs, process, 2)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the command and all that it started there
    assert process.wait(240) == 130
    assert [row["state"] for row in table(outputs)] == ["stopped", "stopped"]
    assert len(list(outputs.glob("*/*/*/checkpoints/last.pt"))) == 2, "each has saved, one of them in its own time"


def test_killed_it_takes_its_jobs_with_it_and_can_be_resumed(tmp_path: Path, stand_in: dict[str, str]) -> None:
    """Between the command and a job stands a process of submitit's, made to survive the command."""
    outputs = tmp_path / "outputs"
    process = start(tmp_path, stand_in, "seed=9,8")
    wait_for(outputs, process, 2)
    process.kill()
    process.wait()
    all_end(tmp_path)
    resume = [*COMMAND, "-m", f"sweep.resume={sweep_folder(outputs)}", "hydra/launcher=basic"]
    assert subprocess.run(resume, cwd=tmp_path, env=stand_in, timeout=240, check=False).returncode == 0
    assert [row["state"] for row in table(outputs)] == ["done", "done"]


def test_a_worker_saves_before_its_job_is_queued_again() -> None:
    told: list[str] = []
    before = {
        signal.SIGUSR2: signal.signal(signal.SIGUSR2, lambda *_: told.append("queued again")),
        signal.SIGTERM: signal.signal(signal.SIGTERM, lambda *_: told.append("saving")),
    }
    try:
        with saved_before_requeue() as requeue:
            os.kill(os.getpid(), signal.SIGUSR2)
        assert told == ["saving"]
        assert requeue.handler is not None
        requeue.handler()
        assert told == ["saving", "queued again"]
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
