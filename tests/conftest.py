"""Shared by all tests: one torch thread, an empty cache, and the command run as a user runs it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)
# a shell ignores SIGINT for background processes, and children would inherit that
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup ignores SIGHUP
os.environ.setdefault("OMP_NUM_THREADS", "1")  # for the workers that tests start

# Runs the command, then prints the heavy modules that were imported on the last line of stderr.
_COMMAND = """
import sys
from genimg.cli import main as cli
code = cli.main()
heavy = [name for name in ("torch", "torchvision", "pytorch_lightning", "lightning") if name in sys.modules]
print("imported:", *heavy, file=sys.stderr)
sys.exit(code)
"""


def pytest_configure(config: pytest.Config) -> None:
    """Replaces the user's cache by an empty one, so that earlier downloads change no test."""
    if not hasattr(config, "workerinput"):  # the other xdist processes inherit it
        cache = tempfile.TemporaryDirectory(prefix="genimg-", ignore_cleanup_errors=True)
        os.environ["XDG_CACHE_HOME"] = cache.name
        os.environ.pop("TORCH_HOME", None)
        config.add_cleanup(cache.cleanup)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Runs the README's commands first: they take minutes, and the other xdist process runs the rest meanwhile."""
    items.sort(key=lambda item: item.path.name != "test_readme.py")


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """Resets the number of threads before each test, because a test that trains in this process changes it.

    On a machine whose cores are busy, two threads wait for each other fifty times as long as they compute.
    """
    torch.set_num_threads(1)


@dataclass(frozen=True)
class Answer:
    """The result of one call of the command."""

    code: int
    out: str
    err: str
    imported: str  # torch, torchvision, lightning: the ones that the parent process imported


def _processor_seconds(run: Callable[[], object]) -> float:
    """The processor time of the processes that `run` starts and waits for."""
    before = os.times()
    run()
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


@pytest.fixture
def command(tmp_path: Path) -> Callable[..., Answer]:
    """`command("model=vae", ...)` runs the command with these arguments as a new process in `tmp_path`."""

    def call(*words: str, cwd: Path = tmp_path, **environment: str) -> Answer:
        done = subprocess.run(
            [sys.executable, "-c", _COMMAND, *words],
            cwd=cwd,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        found = re.search(r"^imported:(.*)$\n?", done.stderr, re.MULTILINE)
        err = done.stderr.replace(found[0], "") if found else done.stderr
        return Answer(done.returncode, done.stdout, err, found[1].strip() if found else "")

    return call


@pytest.fixture
def hydra_imports(command: Callable[..., Answer]) -> Callable[..., float]:
    """`hydra_imports("model=vae", below=8)` is the command's processor time, in times of `import hydra`.

    The command and the import are measured in turn, because the speed of a core changes with other work on the
    machine. The measurement is repeated until a ratio is less than `below`, at most three times.
    """

    def measure(*words: str, below: float, **environment: str) -> float:
        ratios: list[float] = []
        while not ratios or (min(ratios) >= below and len(ratios) < 3):
            seconds = _processor_seconds(lambda: command(*words, **environment))
            unit = _processor_seconds(lambda: subprocess.run([sys.executable, "-c", "import hydra"], check=True))
            ratios.append(seconds / unit)
        return min(ratios)

    return measure
