"""Follows a documentation page as a user does: its commands, its Python and its files, in order, in an empty folder.

Conventions of a page: a line of a bash block that starts with `genimg` is a command, up to two spaces and `#`. A Python
or YAML block with a file name among its first comment lines is that file. Other Python blocks are executed.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import chdir
from pathlib import Path
from typing import Any

from genimg.launch.start import WORKER
from tests.warm import warm_worker

ROOT = Path(__file__).parent.parent
SHORT = [
    "budget.images=64", "budget.minutes=null", "data.batch_size=16",
    "callbacks.samples.times=1", "callbacks.validation.times=1", "callbacks.validation.num_images=16",
    "trainer.threads=1", "trainer.accelerator=cpu",
]  # fmt: skip


def read_page(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(page: str) -> list[tuple[str, str]]:
    """(language, text) of each fenced code block."""
    return re.findall(r"^```(\w+)\n(.*?)^```", page, re.DOTALL | re.MULTILINE)


def commands_in(block: str) -> list[str]:
    """The commands of a bash block, without comments; a backslash at the end of a line continues it."""
    lines = block.replace("\\\n", " ").splitlines()
    return [line.split("  #")[0].strip() for line in lines if line.startswith("genimg")]


def commands(page: str) -> list[str]:
    return [command for language, block in blocks(page) if language == "bash" for command in commands_in(block)]


def follow(page: str, folder: Path, before: Callable[[str], bool] = lambda command: True) -> dict[str, Any]:
    """Follows the page in `folder` and returns the variables of its Python.

    before: called with each command; returns whether to run it.
    """
    with warm_worker() as worker:
        return _follow(page, folder, before, worker)


def _follow(page: str, folder: Path, before: Callable[[str], bool], worker: Sequence[str]) -> dict[str, Any]:
    names: dict[str, Any] = {}
    for language, block in blocks(page):
        file = re.match(r"(?:#.*\n)*?# (\S+\.(?:py|yaml))\n", block)
        if file:
            (folder / file[1]).parent.mkdir(parents=True, exist_ok=True)
            with (folder / file[1]).open("a", encoding="utf-8") as written:
                written.write(block)  # a file may be printed in parts
        elif language == "python":
            with chdir(folder):
                exec(block, names)
        elif language == "bash":
            for command in commands_in(block):
                if before(command):
                    run(short(command, folder), folder, worker)
    return names


def run(words: list[str], folder: Path, worker: Sequence[str] = WORKER) -> str:
    """Runs one command in `folder`, checks that its exit code is 0 and returns what it prints."""
    program = f"import sys; from genimg.cli.main import main; sys.exit(main({list(worker)!r}))"
    done = subprocess.run(
        [sys.executable, "-P", "-c", program, *words],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def short(command: str, folder: Path) -> list[str]:
    """The arguments of a printed command; a training gets a small budget, and a sweep to resume is the newest one.

    A world is rendered for as many clips as a batch needs.
    """
    # the date of the newest run, in case midnight has passed since
    today = max((run.parts[-3] for run in folder.glob("outputs/*/*/config.yaml")), default="no day")
    program, *words = shlex.split(command.replace("$(date +%F)", today))
    keys = {word.split("=")[0] for word in words}
    if "crafter" in keys:
        return [*words, "num_clips=24"]
    if program == "genimg" or "--help" in keys:
        return words
    if "sweep.resume" in keys:
        return ["-m", f"sweep.resume={max(folder.glob('outputs/*/*-sweep')).relative_to(folder)}", "trainer.threads=1"]
    if "resume" in keys:
        return [*words, "budget.images=112"] if "budget.images" in keys else words
    return [*words, *SHORT, "model.hidden=16" if "model=draw" in words else "model.width=4"]
