"""Jobs of submitit's local executor, which acts like SLURM: queues jobs, sends signals, requeues."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from genimg.sweeps.signals import save_before_requeue
from tests.sweeps.conftest import all_end, finish, start, sweep_folder, table, wait_for

SUBMITIT = "hydra/launcher=submitit_local"


@pytest.mark.slow
def test_a_requeued_job_continues_from_its_checkpoint(tmp_path: Path) -> None:
    outputs = tmp_path / "outputs"
    process = start(tmp_path, SUBMITIT, "seed=9,1,3")
    wait_for(outputs, process, 1)
    record = json.loads((sweep_folder(outputs) / ".jobs" / "0-seed_9.json").read_text())
    os.kill(record["pid"], signal.SIGUSR2)  # what SLURM sends before it ends a job, as submitit requests
    assert process.wait(240) == 1
    assert [row["state"] for row in table(outputs)] == ["done", "failed", "done"]
    assert table(outputs)[1]["error"] == "seed 1 fails: here; expected: elsewhere"
    folder = sweep_folder(outputs)
    commands = (folder / "0-seed_9" / "command.txt").read_text().splitlines()
    assert len(commands) == 2 and "resume=" in commands[1], "it was resumed, in the same folder"
    before = set((folder / ".submitit").iterdir())
    again = start(tmp_path, SUBMITIT, f"sweep.resume={folder}")
    assert again.wait(240) == 1
    (more,) = set((folder / ".submitit").iterdir()) - before
    assert list(more.glob("*/*_result.pkl")), "results are read from a new folder"


def test_ctrl_c_stops_the_jobs_on_this_machine(tmp_path: Path) -> None:
    outputs = tmp_path / "outputs"
    process = start(tmp_path, SUBMITIT, "seed=7,8", start_new_session=True)
    wait_for(outputs, process, 2)
    os.killpg(process.pid, signal.SIGINT)  # like a terminal: to the command and all its processes
    assert process.wait(240) == 130
    assert [row["state"] for row in table(outputs)] == ["stopped", "stopped"]
    assert len(list(outputs.glob("*/*/*/checkpoints/last.pt"))) == 2, "each has saved"


def test_the_jobs_of_a_killed_sweep_end_and_it_can_be_resumed(tmp_path: Path) -> None:
    """The parent of a job is a process of submitit that outlives the command."""
    outputs = tmp_path / "outputs"
    process = start(tmp_path, SUBMITIT, "seed=9,8")
    wait_for(outputs, process, 2)
    process.kill()
    process.wait()
    all_end(tmp_path)
    assert finish(tmp_path, f"sweep.resume={sweep_folder(outputs)}", "hydra/launcher=basic") == 0
    assert [row["state"] for row in table(outputs)] == ["done", "done"]


def test_a_worker_saves_before_its_job_is_requeued() -> None:
    told: list[str] = []
    before = {
        signal.SIGUSR2: signal.signal(signal.SIGUSR2, lambda *_: told.append("requeued")),
        signal.SIGTERM: signal.signal(signal.SIGTERM, lambda *_: told.append("saving")),
    }
    try:
        with save_before_requeue() as requeue:
            os.kill(os.getpid(), signal.SIGUSR2)
        assert told == ["saving"]
        assert requeue.handler is not None
        requeue.handler()
        assert told == ["saving", "requeued"]
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
