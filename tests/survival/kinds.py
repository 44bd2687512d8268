"""The runs that tests/survival/long.py kills, and the moments."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from subprocess import Popen
from typing import NamedTuple

from tests.survival.displays import BROKEN, start_in_a_pipeline, start_in_a_terminal
from tests.survival.harness import MODELS, SMALL, Killed

DISK = "8m"  # a run takes 4
GAN = [*SMALL, *MODELS["gan"]]
JOBS = [*GAN, "-m", "budget.images=1600"]
SWEEP = [*JOBS, "model.lr=2e-4,1e8"]  # the second one diverges
SEARCH = [*JOBS, "hydra/sweeper=optuna", "hydra.sweeper.n_trials=4", "model.lr=tag(log,interval(1e-4,1e-2))"]
# side by side, which trial is pruned depends on the time
BESIDE = ["hydra/launcher=joblib", "hydra.sweeper.n_jobs=2", "hydra.sweeper.prune=false"]


@contextmanager
def at_any_time(run: Killed, seconds: float, draw: random.Random) -> Iterator[None]:
    time.sleep(draw.uniform(0.0, 0.9) * seconds)
    yield


@contextmanager
def as_it_writes(run: Killed, seconds: float, draw: random.Random) -> Iterator[None]:
    """While a checkpoint is being written."""
    run.wait_for_images(draw.randrange(100, 2500))
    run.wait_for_writing()
    yield


@contextmanager
def as_it_ends(run: Killed, seconds: float, draw: random.Random) -> Iterator[None]:
    """While the final samples are drawn or the report is written."""
    run.wait_until_trained()
    time.sleep(draw.uniform(0.0, 1.5))
    yield


@contextmanager
def as_the_disk_is_full(run: Killed, seconds: float, draw: random.Random) -> Iterator[None]:
    """Another file fills the disk, and is removed before the run is resumed."""
    run.wait_for_images(draw.randrange(100, 2500))
    ballast = run.folder.parent / "ballast"
    with open(ballast, "wb", buffering=0) as file:
        free = os.statvfs(run.folder).f_bavail * os.statvfs(run.folder).f_bsize
        file.write(bytes(max(0, free)))
    time.sleep(draw.uniform(0.0, 0.4) * seconds)
    yield
    ballast.unlink()


Started = tuple[Popen[str], Callable[[], object] | None]


def plainly(run: Killed, *more: str) -> Started:
    return run.start(*more), None


def in_a_pipeline(run: Killed, *more: str) -> Started:
    """Ends by Ctrl-C, which `tee` receives too."""
    command, tee = start_in_a_pipeline(run, *more)
    return command, lambda: (os.killpg(tee.pid, signal.SIGINT), tee.wait())


def in_a_terminal(run: Killed, *more: str) -> Started:
    """Ends when the terminal is closed."""
    command, terminal = start_in_a_terminal(run, *more)
    return command, lambda: os.close(terminal)


def on(display: str) -> Callable[..., Started]:
    return lambda run, *more: (BROKEN[display].start(run, *more), None)


class Kind(NamedTuple):
    """A kind of run.

    start: starts the command; returns its process, and what ends it instead of SIGKILL, if that is another way.

    moment: waits, from the start of a run, until it is to be killed; it is given the duration of a complete run.
    lost: parts of the result that may differ.
    """

    words: list[str]
    moment: Callable[[Killed, float, random.Random], AbstractContextManager[None]] = at_any_time
    start: Callable[..., Started] = plainly
    exit_code: int = 0
    on_small_disk: bool = False
    lost: tuple[str, ...] = ()


KINDS = {
    f"{model}, {n} process{'es' * (n > 1)}": Kind([*SMALL, *MODELS[model], f"trainer.devices={n}"])
    for model in MODELS
    for n in (1, 2)
}
KINDS |= {
    "as a checkpoint is written": Kind(GAN, as_it_writes),
    "as a checkpoint is written, 2 processes": Kind([*GAN, "trainer.devices=2"], as_it_writes),
    "as the last images are drawn": Kind(GAN, as_it_ends),
    "as the last images are drawn, 2 processes": Kind([*GAN, "trainer.devices=2"], as_it_ends),
    f"a full disk of {DISK}B": Kind(GAN, as_the_disk_is_full, on_small_disk=True, lost=("images",)),
    "Ctrl-C in a pipeline": Kind(GAN, start=in_a_pipeline),
    "Ctrl-C in a pipeline, 2 processes": Kind([*GAN, "trainer.devices=2"], start=in_a_pipeline),
    "a terminal closes": Kind(GAN, start=in_a_terminal),
    "a full disk under the output": Kind(GAN, start=on("a full disk")),
    "closed descriptors": Kind(GAN, start=on("closed descriptors")),
    "a sweep, one job fails": Kind(SWEEP, exit_code=1),
    "a sweep by joblib": Kind([*SWEEP, "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"], exit_code=1),
    "a sweep by submitit": Kind([*SWEEP, "hydra/launcher=submitit_local"], exit_code=1),
    "a sweep of 1 and 2 processes": Kind([*JOBS, "trainer.devices=1,2"]),
    "a search by Optuna": Kind([*SEARCH, *BESIDE]),
}
