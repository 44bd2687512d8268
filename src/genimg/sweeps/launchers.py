"""The sweeper and the Hydra launcher of a sweep, and how the launcher is called."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import uuid
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec

from hydra.errors import HydraException
from omegaconf import DictConfig, open_dict

from genimg.common.errors import UserError, first_line
from genimg.common.processes import block_interrupts, end_with_parent
from genimg.common.quoting import quoted
from genimg.common.text import printable_line
from genimg.config.compose import Composer
from genimg.config.hydra_api import Override
from genimg.sweeps.folder import Job
from genimg.sweeps.job import RunJob

SWEEPERS = ("basic", "optuna")
#: The launchers whose jobs run on this machine and end after a signal. Others have a queue, or other machines.
LOCAL = ("basic", "joblib", "submitit_local")
# choice: (the module that it needs, the extra of this package that installs it)
_REQUIREMENTS = {
    "optuna": ("optuna", "optuna"),
    "joblib": ("hydra_plugins.hydra_joblib_launcher", "joblib"),
    "submitit_local": ("hydra_plugins.hydra_submitit_launcher", "slurm"),
    "submitit_slurm": ("hydra_plugins.hydra_submitit_launcher", "slurm"),
}


def choice_of(group: str, overrides: list[Override]) -> str:
    """Returns the choice of `hydra/sweeper` or `hydra/launcher`. Raises UserError if it is unknown or not installed."""
    choice = next((str(override.value()) for override in overrides if override.key_or_group == group), "basic")
    if group == "hydra/sweeper" and choice not in SWEEPERS:
        raise UserError(group, choice, " or ".join(SWEEPERS))
    module, extra = _REQUIREMENTS.get(choice, (None, None))
    if module is not None and not _is_installed(module):
        raise UserError(group, choice, "an installed plugin", hint=f'pip install "genimg-train[{extra}]"')
    return choice


def launch(composer: Composer, config: DictConfig, run_job: RunJob, jobs: Sequence[Job]) -> None:
    """Runs `jobs` with the launcher in `config.hydra`. Their records contain the results.

    config: of the sweep, not of a job.
    """
    if not jobs:
        return
    with open_dict(config):
        launcher = config.hydra.launcher
        if run_job.slots is not None:
            launcher.n_jobs = run_job.slots.count
        submitit = f"{config.hydra.sweep.dir}/.submitit"
        if launcher.get("submitit_folder") == f"{submitit}/%j":  # the default
            # submitit unpickles the results in its folder: use one that an untrusted sweep cannot contain
            launcher.submitit_folder = f"{submitit}/{uuid.uuid4().hex}/%j"
    words = [[*job.words, f"hydra.sweep.subdir={quoted(job.name)}"] for job in jobs]
    _stop_trackers_at_exit()
    if "submitit_folder" in config.hydra.launcher:
        _block_interrupts_in_controllers()
    try:
        # at their start: a process without a job would otherwise wait minutes for one after the command has ended
        options = {"initializer": end_with_parent, "initargs": (signal.SIGTERM, os.getpid())}
        composer.loader.launch(run_job, config, words, joblib_options=options)
    except HydraException as error:
        raise UserError("-m", None, f"a sweep that Hydra can run: {error}") from error
    except Exception as error:  # the process of a job died, or the queue refused the job
        reason = printable_line(first_line(error))
        print(f"the launcher ended early: {reason}", file=sys.stderr)


@cache
def _block_interrupts_in_controllers() -> None:
    """Protects the processes of submitit's local executor from Ctrl-C in the terminal.

    They would end the jobs before these have saved. Each job receives the signal from the command.
    """
    from submitit.local import local

    local.start_controller = block_interrupts()(local.start_controller)


@cache
def _stop_trackers_at_exit() -> None:
    """Registers `_stop_trackers` before joblib registers its exit handler, which runs first and needs the trackers."""
    atexit.register(_stop_trackers)


def _stop_trackers() -> None:
    """Waits for joblib's resource trackers, which would outlive the command by a moment."""
    for name in ("joblib.externals.loky.backend.resource_tracker", "multiprocessing.resource_tracker"):
        if name in sys.modules:
            sys.modules[name]._resource_tracker._stop()


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # of the package that contains it
        return False
