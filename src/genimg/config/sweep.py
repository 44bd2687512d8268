"""`-m`: every combination, by Hydra's own sweeper and launcher, each in a worker and a folder of its own."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.types import Override
from hydra.core.utils import JobReturn
from hydra.errors import HydraException
from omegaconf import DictConfig, open_dict

from genimg.config.check import check
from genimg.config.choices import check_words
from genimg.config.compose import Composer, line, without_hydra
from genimg.config.names import flatten
from genimg.config.values import as_meant
from genimg.errors import UserError

# Hydra would add a log file of its own to each job's folder
_QUIET = ["hydra/job_logging=none", "hydra/hydra_logging=none"]


# a checked configuration, its overrides and its folder: runs it and returns the exit code
Start = Callable[[DictConfig, list[str], Path], int]


def sweep(composer: Composer, words: list[str], start: Start) -> int:
    """Checks every job, then starts them all; 1 where one failed, 130 or 143 where one was interrupted."""
    check_words(composer, words)
    overrides = composer.parse(words)
    if any(override.key_or_group == "resume" for override in overrides):
        raise UserError("resume", "-m", "one run", hint="resume the jobs of a sweep one by one")
    if not any(override.key_or_group == "hydra/sweeper" for override in overrides):
        jobs = _jobs(overrides)
        if not jobs:
            raise UserError("-m", " ".join(words), "at least one value for each key", "key=1,2,3")
        for job in jobs:
            check(composer, job)

    def run_job(config: DictConfig) -> int:
        hydra = HydraConfig.get()
        job_words = list(hydra.overrides.task)
        folder = Path(hydra.runtime.output_dir)
        folder.rmdir()  # Hydra made it, and the launch makes its own so that no run is ever overwritten
        print(f"[{hydra.job.num}] {' '.join(job_words)}", flush=True)
        with open_dict(config):
            config.hydra = hydra
            as_meant(config, composer.parse(job_words), flatten(without_hydra(config)))
        return start(config, job_words, folder)

    try:
        results = composer.hydra.multirun(composer.task, run_job, [*_QUIET, *words], False)
    except HydraException as error:
        raise UserError("-m", " ".join(words), f"a sweep that Hydra can run: {error}") from error
    codes = list(_exit_codes(results))
    failed = [code for code in codes if code != 0]
    if len(codes) > 1 and failed:
        print(f"{len(failed)} of {len(codes)} jobs failed", file=sys.stderr)
    return next((code for code in failed if code > 128), 1 if failed else 0)


def _jobs(overrides: list[Override]) -> list[list[str]]:
    """The words of every job, as the BasicSweeper will make them."""
    try:
        return [job for batch in BasicSweeper.split_arguments(overrides, None) for job in batch]
    except HydraException as error:
        word = next((line(override) for override in overrides if override.is_sweep_override()), None)
        raise UserError("-m", word, f"values to try one after the other ({error})", "key=1,2,3") from error


def _exit_codes(results: Any) -> Iterable[int]:
    """The exit codes of the jobs; batches of JobReturns from the BasicSweeper, nothing from others."""
    for batch in results if isinstance(results, list) else []:
        for job in batch:
            if isinstance(job, JobReturn):
                yield job.return_value
