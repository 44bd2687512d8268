"""Runs of the command, which benchmarks train and measure."""

import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path


def genimg(*words: str) -> None:
    """Runs the command. Exits if it fails."""
    command = [sys.executable, "-m", "genimg.cli.main", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{shlex.join(words)} failed:\n{done.stderr}")


def train(words: Sequence[str], outputs: Path) -> Path:
    """Trains a run in `outputs`, which is empty, and returns its folder. Exits if it fails."""
    genimg(*words, "logger=none", f"outputs={outputs}")
    return next(outputs.glob("*/*/config.yaml")).parent
