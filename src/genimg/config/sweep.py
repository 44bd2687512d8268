"""`-m`: every combination, by Hydra's own sweeper and launcher, each job in a worker and a folder of its own."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn
from hydra.errors import HydraException
from omegaconf import DictConfig, open_dict

from genimg.config import names
from genimg.config.check import check
from genimg.errors import UserError

if TYPE_CHECKING:
    from genimg.config.session import Session

# Hydra would add a log file of its own to each job's folder
_QUIET = ["hydra/job_logging=none", "hydra/hydra_logging=none"]


def sweep(session: Session) -> int:
    """Checks every job, then runs them all; 1 where one of them failed, 130 or 143 where one was interrupted."""
    composer = session.composer
    names.check_words(composer, session.words)
    overrides = composer.parse(session.words)
    if any(override.key_or_group == "resume" for override in overrides):
        raise UserError("resume", "-m", "one run", hint="resume the jobs of a sweep one by one")
    if not any(override.key_or_group == "hydra/sweeper" for override in overrides):
        for jobs in BasicSweeper.split_arguments(overrides, max_batch_size=None):
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
        return session.start(config, job_words, folder)

    try:
        results = composer.hydra.multirun(session.task, run_job, [*_QUIET, *session.words], False)
    except HydraException as error:
        raise UserError("-m", " ".join(session.words), f"a sweep that Hydra can run: {error}") from error
    codes = list(_exit_codes(results))
    failed = [code for code in codes if code != 0]
    if len(codes) > 1 and failed:
        print(f"{len(failed)} of {len(codes)} jobs failed", file=sys.stderr)
    return next((code for code in failed if code > 128), 1 if failed else 0)


def _exit_codes(results: Any) -> Iterable[int]:
    """The exit codes of the jobs; batches of JobReturns from the BasicSweeper, nothing from others."""
    for batch in results if isinstance(results, list) else []:
        for job in batch:
            if isinstance(job, JobReturn):
                yield job.return_value
