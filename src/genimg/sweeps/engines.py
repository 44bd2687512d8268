"""Which sweeper and which of Hydra's launchers a sweep runs with, and the way to the launcher."""

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
from genimg.common.processes import end_with_parent, interrupts_held_back
from genimg.common.quoting import quoted
from genimg.config.compose import Composer
from genimg.config.hydra_api import Override
from genimg.sweeps.folder import Job
from genimg.sweeps.job import RunJob

SWEEPERS = ("basic", "optuna")
#: The launchers whose jobs end when they are told to, on this machine; others have them in a queue, or elsewhere.
LOCAL = ("basic", "joblib", "submitit_local")
# choice: (the module that it needs, the extra that brings it)
_NEEDS = {
    "optuna": ("optuna", "optuna"),
    "joblib": ("hydra_plugins.hydra_joblib_launcher", "joblib"),
    "submitit_local": ("hydra_plugins.hydra_submitit_launcher", "slurm"),
    "submitit_slurm": ("hydra_plugins.hydra_submitit_launcher", "slurm"),
}


def chosen(overrides: list[Override], group: str) -> str:
    """The choice of `hydra/sweeper` or `hydra/launcher`. UserError where it is unknown, or not installed."""
    choice = next((str(override.value()) for override in overrides if override.key_or_group == group), "basic")
    if group == "hydra/sweeper" and choice not in SWEEPERS:
        raise UserError(group, choice, " or ".join(SWEEPERS))
    module, extra = _NEEDS.get(choice, (None, None))
    if module is not None and not _installed(module):
        raise UserError(group, choice, "what is installed", hint=f'pip install "genimg-train[{extra}]"')
    return choice


def launch(composer: Composer, config: DictConfig, run_job: RunJob, jobs: Sequence[Job]) -> None:
    """Runs `jobs` by the launcher that `config`, of the sweep, names. What became of them, their records tell."""
    if not jobs:
        return
    with open_dict(config):
        launcher = config.hydra.launcher
        if run_job.places is not None:
            launcher.n_jobs = run_job.places.count
        submitits = f"{config.hydra.sweep.dir}/.submitit"
        if launcher.get("submitit_folder") == f"{submitits}/%j":  # as the plugin has it, unless it is told otherwise
            # submitit unpickles the results that lie there: not those that a stranger's sweep brings with it
            launcher.submitit_folder = f"{submitits}/{uuid.uuid4().hex}/%j"
    words = [[*job.words, f"hydra.sweep.subdir={quoted(job.name)}"] for job in jobs]
    _at_exit_end_trackers()
    if "submitit_folder" in config.hydra.launcher:
        _keep_interrupts_from_controllers()
    try:
        # from their start on, not from their first job on: one without a job would wait for it for minutes
        options = {"initializer": end_with_parent, "initargs": (signal.SIGTERM, os.getpid())}
        composer.loader.launch(run_job, config, words, joblib_options=options)
    except HydraException as error:
        raise UserError("-m", None, f"a sweep that Hydra can run: {error}") from error
    except Exception as error:  # a process that a job was in died, or the queue refused it
        reason = first_line(error)
        print(f"the launcher ended early: {reason}", file=sys.stderr)


@cache
def _keep_interrupts_from_controllers() -> None:
    """Ctrl-C in the terminal reaches all that runs in it: not the processes of submitit's local executor, which would
    end the jobs before they have saved. Each job hears of it from the command.
    """
    from submitit.local import local

    local.start_controller = interrupts_held_back()(local.start_controller)


@cache
def _at_exit_end_trackers() -> None:
    """Once, before joblib registers what it does at exit: that comes first then, and still needs them."""
    atexit.register(_end_trackers)


def _end_trackers() -> None:
    """Waits for the processes that clear up after joblib's, which would outlive the command by a moment."""
    for name in ("joblib.externals.loky.backend.resource_tracker", "multiprocessing.resource_tracker"):
        if name in sys.modules:
            sys.modules[name]._resource_tracker._stop()


def _installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # of the package that it is in
        return False
