"""The worker: one message for a mistake, a traceback in the log for a failure, and it ends with its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from genimg.common.processes import block_interrupts
from genimg.common.run_folder import RunFolder

TASK = """
import errno, logging, sys, time
from genimg.common.errors import UserError
log = logging.getLogger("genimg.tasks.stand_in")
def run(config):
    log.info("a plain line")
    if config["what"] == "mistake":
        raise UserError("data.root", "here", "images", hint="look there")
    if config["what"] == "failure":
        raise RuntimeError("the disk is full")
    if config["what"] == "full":
        raise OSError(errno.ENOSPC, "No space left on device", "last.pt")
    if config["what"] == "large":
        import torch
        torch.empty(2**55)
    if config["what"] == "large numpy":
        import numpy as np
        np.empty(2**55)
    if config["what"] == "library":
        raise ImportError("libtorch_cpu.so: failed to map segment from shared object")
    if config["what"] == "no lack":
        raise RuntimeError("can't allocate memory slot 3")
    if config["what"] == "wait":
        print("waiting", flush=True)
        time.sleep(60)
    return config["code"]
"""

# Registers the stand-in as a task, then runs the worker like `python -m`.
WORKER = """
import importlib.util, sys
from pathlib import Path
spec = importlib.util.spec_from_file_location("genimg.tasks.stand_in", Path(sys.argv[1]).parent / "task.py")
module = importlib.util.module_from_spec(spec)
sys.modules["genimg.tasks.stand_in"] = module
spec.loader.exec_module(module)
from genimg.launch.worker import main
sys.exit(main(sys.argv[1]))
"""


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    (tmp_path / "task.py").write_text(TASK)
    return tmp_path


def _command(run_dir: Path, what: str, code: int = 0) -> list[str]:
    config = run_dir / "config.yaml"
    config.write_text(f"task: stand_in\nwhat: {what}\ncode: {code}\nrun_dir: {run_dir}\n")
    return [sys.executable, "-c", WORKER, str(config)]


def test_ctrl_c_before_the_task_begins_prints_no_traceback(run_dir: Path) -> None:
    with block_interrupts():
        process = subprocess.Popen(_command(run_dir, "wait"), stderr=subprocess.PIPE, text=True)
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=60)[1] == ""
    assert process.returncode == 130


def _run(run_dir: Path, what: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    return subprocess.run(_command(run_dir, what, code), capture_output=True, text=True, check=False)


def test_the_worker_returns_the_exit_code_of_the_task_and_prints_its_lines(run_dir: Path) -> None:
    done = _run(run_dir, "nothing", code=130)
    assert done.returncode == 130
    assert done.stdout == "a plain line\n"
    assert "INFO" in (run_dir / "train.log").read_text()


def test_a_mistake_is_one_message(run_dir: Path) -> None:
    done = _run(run_dir, "mistake")
    assert done.returncode == 2
    assert "data.root: got here" in done.stderr
    assert "look there" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_failure_names_the_file_with_its_traceback(run_dir: Path) -> None:
    done = _run(run_dir, "failure")
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert "RuntimeError: the disk is full" in last
    assert str(run_dir / "train.log") in last
    assert "Traceback" in (run_dir / "train.log").read_text()


def test_a_full_disk_is_one_message(run_dir: Path) -> None:
    done = _run(run_dir, "full")
    assert done.returncode == 1
    assert done.stderr == "error: the disk is full, and the run ends: [Errno 28] No space left on device: 'last.pt'\n"


@pytest.mark.parametrize(
    ("what", "asked"),
    [("large", ": tried to allocate"), ("large numpy", ": unable to allocate"), ("library", "\n  Reduce")],
)
def test_too_little_memory_is_one_message(run_dir: Path, what: str, asked: str) -> None:
    done = _run(run_dir, what)
    assert done.returncode == 1
    assert f"error: the memory of the machine is full, and the run ends{asked}" in done.stderr
    assert "data.batch_size" in done.stderr and "Traceback" not in done.stderr
    assert "Traceback" in RunFolder(run_dir).log.read_text(), "it shows what requested the memory"


def test_an_error_that_resembles_a_memory_error_is_printed_completely(run_dir: Path) -> None:
    assert "RuntimeError: can't allocate memory slot 3" in _run(run_dir, "no lack").stderr


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="prctl is Linux's")
def test_the_worker_ends_with_its_parent(run_dir: Path) -> None:
    parent_code = (
        "import os, subprocess, sys\n"
        "worker = subprocess.Popen(sys.argv[1:], env={**os.environ, 'GENIMG_PARENT': str(os.getpid())})\n"
        "print(worker.pid, flush=True)\n"
        "worker.wait()\n"
    )
    command = [sys.executable, "-c", parent_code, *_command(run_dir, "wait")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        assert "waiting" in (parent.stdout.readline() + parent.stdout.readline())
        parent.send_signal(signal.SIGKILL)
    for _ in range(2400):
        # an ended process that nobody has waited for yet is a zombie
        stat = Path(f"/proc/{worker}/stat")
        if not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z":
            return
        time.sleep(0.025)
    os.kill(worker, signal.SIGKILL)
    pytest.fail("the worker outlived its parent")
