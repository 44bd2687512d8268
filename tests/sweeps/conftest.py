"""A sweep in an empty folder, whose jobs are a stand-in without torch, and what it leaves."""

from __future__ import annotations

import contextlib
import csv
import os
import sys
import time
from pathlib import Path

import pytest

from genimg.launch import start as launch
from genimg.sweeps import run as sweeps

WORKER = (sys.executable, str(Path(__file__).with_name("worker.py")))
COMMAND = [sys.executable, "-m", "genimg.cli.main"]


@pytest.fixture
def stand_in(tmp_path: Path) -> dict[str, str]:
    """The environment of a command whose workers are the stand-in, in whichever process a job is started."""
    (tmp_path / "site").mkdir()
    patch = f"import genimg.launch.start\ngenimg.launch.start.WORKER = {WORKER!r}\n"
    (tmp_path / "site" / "sitecustomize.py").write_text(patch)  # Python imports it as it starts
    return {**os.environ, "PYTHONPATH": str(tmp_path / "site")}


@pytest.fixture
def outputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(launch, "WORKER", WORKER)
    monkeypatch.setattr(sweeps, "_compare", lambda *_: None)  # of runs that never were
    monkeypatch.chdir(tmp_path)
    return Path("outputs")


def sweep_folder(outputs: Path) -> Path:
    (folder,) = outputs.glob("*/*-sweep")
    return folder


def table(outputs: Path) -> list[dict[str, str]]:
    with open(sweep_folder(outputs) / "sweep.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def started(outputs: Path) -> set[str]:
    """The jobs that a worker was started for since the last call, by number."""
    marks = list(outputs.glob("*/*/*/started"))
    for mark in marks:
        mark.unlink()
    return {mark.parent.name.split("-")[0] for mark in marks}


def running(tmp_path: Path) -> list[str]:
    """The processes whose environment names `tmp_path`: the command and all that it started."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if str(tmp_path).encode() in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_text().replace("\0", " "))
    return found


def all_end(tmp_path: Path, seconds: float = 60) -> None:
    """Waits for the end of all that a command has started."""
    give_up = time.monotonic() + seconds
    while left := running(tmp_path):
        assert time.monotonic() < give_up, left
        time.sleep(0.05)
