"""Two processes give the same run, whether the agent, two machines or srun started them."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.survival.harness import MODELS, SMALL, Killed
from tests.together import free_port

pytestmark = pytest.mark.slow


Straight = Callable[[str, int], dict[str, str]]


def finished(processes: list[subprocess.Popen[str]]) -> list[str]:
    output = [process.communicate(timeout=200)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], output
    return output


def test_two_machines(straight: Straight, tmp_path: Path) -> None:
    endpoint = f"launch.rdzv_endpoint=127.0.0.1:{free_port()}"
    run = Killed(tmp_path, [*SMALL, *MODELS["gan"], "trainer.num_nodes=2", endpoint])
    output = finished([run.start(f"launch.node_rank={rank}") for rank in (0, 1)])
    assert "images" in output[0] and output[1] == "", "only rank 0 prints"
    assert run.result() == straight("gan", 2)
    assert run.all_gone()


def test_tasks_of_srun(straight: Straight, tmp_path: Path) -> None:
    small = [word for word in SMALL if word != "logger=none"]  # TensorBoard needs the run folder
    run = Killed(tmp_path, [*small, *MODELS["gan"], "trainer.devices=2"])
    step = {"SLURM_JOB_ID": "4242", "SLURM_JOB_NAME": "train", "SLURM_NODELIST": "localhost", "SLURM_NODEID": "0"}
    step |= {"SLURM_NTASKS": "2", "SLURM_STEP_NUM_TASKS": "2", "SLURM_STEP_TASKS_PER_NODE": "2"}  # srun --ntasks=2
    started = [
        run.start(environment={**step, "SLURM_PROCID": str(rank), "SLURM_LOCALID": str(rank)}) for rank in (0, 1)
    ]
    output = finished(started)
    assert "images" in output[0] and output[1] == "", "only rank 0 prints"
    assert run.result() == straight("gan", 2)
