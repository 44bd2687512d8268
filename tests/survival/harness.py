"""Runs of the command that are killed: starts, watches and ends them, and digests their results."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from genimg.checkpoints.read import load_checkpoint
from genimg.common.run_folder import RunFolder

COMMAND = [sys.executable, "-m", "genimg.cli.main"]

# small and fast; saves often, and has all the callbacks of a real run
SMALL = [
    "data.image_size=8", "data.batch_size=16", "data.flip=true",
    "trainer=cpu", "trainer.threads=1", "logger=none", "log_every_steps=7", "checkpoint.every_images=320",
    "callbacks.validation.times=4", "callbacks.validation.num_images=32", "callbacks.samples.times=4",
    "callbacks.frechet_random.times=4", "callbacks.frechet_random.num_images=16",
]  # fmt: skip
MODELS = {
    "gan": ["model=gan", "model.width=4", "model.latent_dim=4", "budget.images=4800"],
    "vae": ["model=vae", "model.width=4", "model.latent_dim=4", "budget.images=4800", "callbacks.prior.num_images=64"],
    "draw": ["model=draw", "model.latent_dim=4", "model.hidden=8", "model.glimpses=3", "budget.images=4800"],
    "code_rnn": ["model=code_rnn", "model.width=4", "model/network=vq", "model.conditional=true", "budget.images=3200"],
    "rnn": [
        "model=rnn", "model.width=4", "model.latent_dim=4", "data=moving_digits", "data.image_size=16",
        "data.num_frames=4", "budget.images=1600",
    ],
}  # fmt: skip


@dataclass(frozen=True)
class Killed:
    """A run of the command, or a sweep, in its own folder."""

    folder: Path
    words: list[str]

    def start(
        self, *more: str, prefix: Sequence[str] = (), environment: Mapping[str, str] | None = None, **options: Any
    ) -> subprocess.Popen[str]:
        """Starts the command with the run's words, or only with `more` if that resumes it.

        prefix: a program, which is given the command. environment: variables beside those of this process.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        return subprocess.Popen(
            [*prefix, *COMMAND, *([] if any("resume=" in word for word in more) else self.words), *more],
            cwd=self.folder,
            env={**os.environ, "OMP_WAIT_POLICY": "PASSIVE", **(environment or {})},
            **{"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, **options},
        )

    def finish(self, *more: str, timeout: float = 240) -> tuple[int, str]:
        """The exit code and the output."""
        process = self.start(*more)
        out, _ = process.communicate(timeout=timeout)
        return process.returncode, out

    @property
    def run(self) -> RunFolder:
        (run,) = self.folder.glob("outputs/*/*")
        return RunFolder(run)

    @property
    def runs(self) -> list[RunFolder]:
        """The run of the command, or the jobs of its sweep, in order."""
        jobs = sorted(self.folder.glob("outputs/*/*-sweep/*/config.yaml"))
        return [RunFolder(config.parent) for config in jobs or self.folder.glob("outputs/*/*/config.yaml")]

    def resume_words(self) -> list[str]:
        """The words that resume what was killed; none without a checkpoint."""
        machine = [word for word in self.words if word.startswith(("trainer.devices=", "trainer.threads="))]
        for plan in self.folder.glob("outputs/*/*/sweep.json"):
            return ["-m", f"sweep.resume={plan.parent}", *machine]
        if any(run.has_checkpoint() for run in self.runs):
            return ["resume=last", *machine]
        for place in self.folder.glob("outputs/*/*"):  # the next start creates another run
            place.rename(self.folder / f"never-began-{len(list(self.folder.iterdir()))}")
        return []

    def wait_for_images(self, count: int, timeout: float = 120) -> None:
        """Waits until metrics.jsonl has a row at so many images."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            for table in self.folder.glob("outputs/*/*/metrics.jsonl"):
                lines = table.read_bytes().splitlines(keepends=True)
                if lines and lines[-1].endswith(b"\n") and json.loads(lines[-1])["images_seen"] >= count:
                    return
            time.sleep(0.01)
        raise AssertionError(f"no {count} images within {timeout} s")

    def wait_for_writing(self, timeout: float = 120) -> None:
        """Waits until a checkpoint is being written. That takes milliseconds, so the loop does not sleep."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            if any(self.folder.glob("outputs/*/*/checkpoints/.*.tmp")):
                return
        raise AssertionError(f"no checkpoint within {timeout} s")

    def wait_until_trained(self, timeout: float = 120) -> None:
        """Waits until it has trained and begins to draw its final samples."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            if any("trained   " in log.read_text() for log in self.folder.glob("outputs/*/*/train.log")):
                return
            time.sleep(0.005)
        raise AssertionError(f"not trained within {timeout} s")

    def processes(self, module: str = "") -> list[int]:
        """The living processes of this run, by their working folder. module: genimg.launch.worker or agent."""
        found = []
        for place in Path("/proc").glob("[0-9]*"):
            try:
                alive = (place / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
                here = (place / "cwd").resolve() == self.folder.resolve()
                if alive and here and module in (place / "cmdline").read_text():
                    found.append(int(place.name))
            except OSError:
                continue
        return sorted(found)

    def all_gone(self, timeout: float = 60) -> bool:
        """Whether all processes of the run end within the timeout."""
        end = time.monotonic() + timeout
        while self.processes() and time.monotonic() < end:
            time.sleep(0.05)
        return not self.processes()

    def clean_up(self) -> None:
        for process in self.processes():
            os.kill(process, signal.SIGKILL)

    def result(self) -> dict[str, str]:
        """Digests of the parts of a finished run that a kill must not change."""
        return parts_of(self.run)

    def results(self) -> list[Any]:
        """The digests of every run with a checkpoint, and the table of a sweep without its times."""
        runs = [parts_of(run) for run in self.runs if run.has_checkpoint()]
        tables = [table.read_text() for table in self.folder.glob("outputs/*/*/sweep.csv")]
        rows = [row for table in tables for row in csv.DictReader(table.splitlines())]
        return [*runs, *({**row, "seconds": ""} for row in rows)]


def parts_of(run: RunFolder) -> dict[str, str]:
    checkpoint = load_checkpoint(run.last)
    parts = {
        name: digest(checkpoint[name])
        for name in ("model", "ema", "averages", "optimizers", "processes", "images_seen")
    }
    rows = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    timed = ("seconds", "images_per_second")
    parts["rows"] = digest([{n: v for n, v in row.items() if n not in timed} for row in rows])
    images = sorted(p for p in run.samples.rglob("*") if p.is_file())
    parts["images"] = digest([[str(p.relative_to(run.path)), p.read_bytes()] for p in images])
    return parts


def digest(state: Any) -> str:
    """The SHA-256 of nested plain types and tensors."""
    sha = hashlib.sha256()

    def feed(value: Any) -> None:
        if isinstance(value, torch.Tensor):
            sha.update(f"{value.dtype}{tuple(value.shape)}".encode() + value.contiguous().numpy().tobytes())
        elif isinstance(value, dict):
            for name, part in value.items():
                sha.update(repr(name).encode())
                feed(part)
        elif isinstance(value, list | tuple):
            sha.update(f"[{len(value)}".encode())
            for part in value:
                feed(part)
        else:
            sha.update(repr(value).encode())

    feed(state)
    return sha.hexdigest()
