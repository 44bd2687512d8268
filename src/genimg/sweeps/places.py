"""Jobs side by side on one machine: to each its share of the GPUs and of the CPU threads."""

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
class Places:
    """As many places as jobs run at once.

    gpus: CUDA_VISIBLE_DEVICES for a place; places beyond their number take them again. None where there are none.
    threads: CPU threads of a place.
    """

    count: int
    gpus: tuple[str, ...]
    threads: int

    @contextmanager
    def taken(self, folder: Path) -> Iterator[int]:
        """The number of a place that no other process has, for as long as the block lasts; freed by a kill, too."""
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(self.count):
            with open(folder / str(number), "w") as place:
                try:
                    fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError:
                    continue
                yield number
                return
        raise RuntimeError(f"more jobs at once than the {self.count} that were asked for")

    def give(self, number: int, config: DictConfig) -> None:
        """Limits this process, and the job that `config` is of, to a place."""
        if self.gpus:
            os.environ["CUDA_VISIBLE_DEVICES"] = self.gpus[number % len(self.gpus)]
        if "trainer" in config and config.trainer.threads is None:
            config.trainer.threads = self.threads


def share_out(num_jobs: int, trainer: DictConfig | None) -> Places:
    """Places for `num_jobs` jobs at once, -1 for as many as there are GPUs for or, without, cores.

    trainer: the settings of the jobs, of which `devices` is what each of them takes; None for a task without.
    """
    gpus = _gpu_names() if trainer is None or trainer.accelerator != "cpu" else []
    each = 1 if trainer is None else len(gpus) or 1 if trainer.devices == "auto" else int(trainer.devices)
    shares = tuple(",".join(gpus[start : start + each]) for start in range(0, len(gpus) - each + 1, each))
    cores = count_cores()
    count = num_jobs if num_jobs > 0 else len(shares) or cores
    return Places(count, shares, min(count_threads(), max(1, cores // (count * each))))


def _gpu_names() -> list[str]:
    """The names by which CUDA_VISIBLE_DEVICES knows the GPUs of this process."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    count = count_gpus()
    return [str(index) for index in range(count)] if visible is None else visible.split(",")[:count]
