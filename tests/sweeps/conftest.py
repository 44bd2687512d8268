"""Sweeps in an empty folder, with a worker that does not import torch, and what they leave."""

from __future__ import annotations

import contextlib
import csv
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from genimg.cli import main as cli
from genimg.common.run_folder import RunFolder
from genimg.config.compose import Composer
from genimg.sweeps import run as sweeps
from genimg.sweeps.folder import Job, Record
from genimg.sweeps.plan import make_plan, sweep_config
from genimg.sweeps.search import Search

WORKER = (sys.executable, str(Path(__file__).with_name("worker.py")))
#: The command with that worker, in whichever process a launcher starts a job.
COMMAND = [
    sys.executable,
    "-c",
    f"import sys; from genimg.cli.main import main; sys.exit(main({WORKER!r}))",
]


def run(words: list[str]) -> int:
    """The command with that worker, in this process."""
    return cli.run(words, WORKER)


def start(tmp_path: Path, *words: str, **options: Any) -> subprocess.Popen[str]:
    """The command `-m words` with that worker, in a process whose working folder is `tmp_path`."""
    return subprocess.Popen([*COMMAND, "-m", *words], cwd=tmp_path, text=True, **options)


def finish(tmp_path: Path, *words: str, **options: Any) -> int:
    """The exit code of the command `-m words`."""
    return start(tmp_path, *words, **options).wait(240)


def wait_for(outputs: Path, process: subprocess.Popen[str], num_jobs: int) -> None:
    """Waits until the workers of so many jobs wait for a signal."""
    while len(list(outputs.glob("*/*/*/waits"))) < num_jobs:
        assert process.poll() is None
        time.sleep(0.02)


def search(*words: str, numbers: tuple[int, int] = (500, 500)) -> Search:
    """A search in this process, whose trials are not trained: the value of a trial is its learning rate.

    numbers: of images on which the trials are measured, in turn.
    """
    composer = Composer("train")
    plan = make_plan(composer, list(words))
    plan.folder.path.mkdir(parents=True, exist_ok=True)
    found = Search(composer, plan, sweep_config(composer, plan).hydra.sweeper)

    def measure(jobs: Sequence[Job]) -> None:
        for job in jobs:
            rate = next(float(word.removeprefix("model.lr=")) for word in job.words if word.startswith("model.lr="))
            number = int(job.name.split("-")[0])
            best = {"name": "frechet_random", "value": rate, "direction": "min", "n": numbers[number % 2]}
            run = RunFolder(plan.folder.path / job.name)
            run.path.mkdir()
            run.best_metric.write_text(json.dumps(best))
            plan.folder.write(job.name, Record("here", 1, 1.0, exit_code=0))

    found.run(measure)
    return found


@pytest.fixture(autouse=True)
def _no_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise each job first measures the load of the machine for 0.1 s."""
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")


@pytest.fixture
def outputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the runs of commands in this process, which write no comparison."""
    monkeypatch.setattr(sweeps, "write_comparison", lambda *_: None)
    monkeypatch.chdir(tmp_path)
    return Path("outputs")


@pytest.fixture(scope="session")
def _finished_outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    assert finish(folder, "seed=0,3", stdout=subprocess.DEVNULL) == 0
    return folder / "outputs"


@pytest.fixture
def finished(outputs: Path, _finished_outputs: Path) -> Path:
    """The folder of a sweep `seed=0,3` in `outputs`, both of whose jobs are done."""
    shutil.copytree(_finished_outputs, outputs)
    started(outputs)
    return sweep_folder(outputs)


def sweep_folder(outputs: Path) -> Path:
    (folder,) = outputs.glob("*/*-sweep")
    return folder


def table(outputs: Path) -> list[dict[str, str]]:
    with open(sweep_folder(outputs) / "sweep.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def started(outputs: Path) -> set[str]:
    """The numbers of the jobs for which a worker was started since the last call."""
    marks = list(outputs.glob("*/*/*/started"))
    for mark in marks:
        mark.unlink()
    return {mark.parent.name.split("-")[0] for mark in marks}


def running(tmp_path: Path) -> list[str]:
    """The processes whose working folder is `tmp_path` or below: the command and all that it started."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (process / "cwd").resolve().is_relative_to(tmp_path.resolve()):
                found.append((process / "cmdline").read_text().replace("\0", " "))
    return found


def all_end(tmp_path: Path, seconds: float = 60) -> None:
    """Waits for the end of all processes that a command has started."""
    give_up = time.monotonic() + seconds
    while left := running(tmp_path):
        assert time.monotonic() < give_up, left
        time.sleep(0.02)
