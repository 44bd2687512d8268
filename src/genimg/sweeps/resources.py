"""Jobs that run side by side on one machine: each takes a slot, a share of the GPUs and of the CPU threads."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig

from genimg.common.hardware import count_cores, count_gpus, count_threads


@dataclass(frozen=True)
class Slots:
    """The slots of a machine."""

    count: int  # of jobs at once
    gpus: tuple[str, ...]  # CUDA_VISIBLE_DEVICES of each slot, in turn; empty without GPUs
    threads: int  # CPU threads of a slot

    @contextmanager
    def acquire(self, folder: Path) -> Iterator[int]:
        """Yields the number of a slot that no other process has, locked by a file in `folder`; a kill frees it too."""
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(self.count):
            with open(folder / str(number), "w") as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError:
                    continue
                yield number
                return
        raise RuntimeError(f"more than {self.count} jobs at once")

    def apply(self, number: int, config: DictConfig) -> None:
        """Limits this process, and the job with this configuration, to a slot."""
        if self.gpus:
            os.environ["CUDA_VISIBLE_DEVICES"] = self.gpus[number % len(self.gpus)]
        if "trainer" in config and config.trainer.threads is None:
            config.trainer.threads = self.threads


def divide_machine(num_jobs: int, trainer: DictConfig | None) -> Slots:
    """Returns the slots for `num_jobs` jobs at once; -1 for as many as the GPUs allow or, without GPUs, the cores.

    trainer: the settings of the jobs, with the `devices` that each of them takes; None for a task without a trainer.
    """
    gpus = _gpu_names() if trainer is None or trainer.accelerator != "cpu" else []
    each = 1 if trainer is None else len(gpus) or 1 if trainer.devices == "auto" else int(trainer.devices)
    shares = tuple(",".join(gpus[start : start + each]) for start in range(0, len(gpus) - each + 1, each))
    cores = count_cores()
    count = num_jobs if num_jobs > 0 else len(shares) or cores
    return Slots(count, shares, min(count_threads(), max(1, cores // (count * each))))


def _gpu_names() -> list[str]:
    """Returns the GPUs of this process, as CUDA_VISIBLE_DEVICES names them."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    count = count_gpus()
    return [str(index) for index in range(count)] if visible is None else visible.split(",")[:count]
