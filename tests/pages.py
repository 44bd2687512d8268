"""Runs the commands, the Python and the YAML of a documentation page in an empty folder.

Conventions of a page: a line of a bash block that starts with `genimg` is a command, up to two spaces and `#`. A Python
or YAML block with a file name among its first comment lines is that file. Other Python blocks are executed.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
SHORT = [
    "budget.images=64", "budget.minutes=null", "data.batch_size=16", "model.width=4",
    "callbacks.samples.times=1", "callbacks.validation.times=1", "callbacks.validation.num_images=16",
    "trainer.threads=1", "trainer.accelerator=cpu",
]  # fmt: skip


def read_page(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(language: str, page: str) -> list[str]:
    """The fenced code blocks in this language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page, re.DOTALL | re.MULTILINE)


def commands(page: str) -> list[str]:
    lines = [line for block in blocks("bash", page) for line in block.splitlines()]
    return [line.split("  #")[0].strip() for line in lines if line.startswith("genimg")]


def file_name(block: str) -> str | None:
    """The file that a block is printed from, according to its first lines."""
    named = re.match(r"(?:#.*\n)*?# (\S+\.(?:py|yaml))\n", block)
    return named[1] if named else None


def write_files(page: str, folder: Path) -> None:
    """Writes the blocks that name a file into `folder`."""
    for block in blocks("(?:python|yaml)", page):
        if name := file_name(block):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(block, encoding="utf-8")


def run_python(page: str) -> dict[str, Any]:
    """Executes the Python blocks that name no file, in order, and returns their variables."""
    names: dict[str, Any] = {}
    for block in blocks("python", page):
        if file_name(block) is None:
            exec(block, names)
    return names


def run(words: list[str], folder: Path) -> str:
    """Runs one command in `folder`, checks that its exit code is 0 and returns what it prints."""
    done = subprocess.run(
        [sys.executable, "-m", "genimg.cli.main", *words],
        cwd=folder,
        env={**os.environ, "XDG_CACHE_HOME": str(folder / "cache")},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def short(command: str, folder: Path) -> list[str]:
    """The arguments of a printed command; a training gets a small budget, and a sweep to resume the newest one."""
    # the date of the newest run, in case midnight has passed since
    today = max((run.parts[-3] for run in folder.glob("outputs/*/*/config.yaml")), default="no day")
    program, *words = shlex.split(command.replace("$(date +%F)", today))
    keys = {word.split("=")[0] for word in words}
    if program == "genimg" or "--help" in keys:
        return words
    if "sweep.resume" in keys:
        return ["-m", f"sweep.resume={max(folder.glob('outputs/*/*-sweep')).relative_to(folder)}"]
    if "resume" in keys:
        return [*words, "budget.images=112"] if "budget.images" in keys else words
    return [*words, *SHORT]
