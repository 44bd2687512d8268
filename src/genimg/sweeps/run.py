"""Runs a sweep (`-m`): checks all jobs, runs them with a Hydra launcher, then prints a table."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from typing import Any

from omegaconf import DictConfig

from genimg.common.display import show as show_text
from genimg.common.errors import STOPPED, UserError
from genimg.common.quoting import quoted
from genimg.common.text import printable
from genimg.launch.session import Session, check, printed
from genimg.sweeps.folder import Job, SweepFolder
from genimg.sweeps.job import RunJob
from genimg.sweeps.launchers import LOCAL, launch
from genimg.sweeps.plan import Plan, make_plan, sweep_config
from genimg.sweeps.results import COMPLETE, Result, read_results, show, write_csv
from genimg.sweeps.signals import forward_to_jobs
from genimg.sweeps.storage import Copies
from genimg.sweeps.untrusted import to_repeat


def sweep(session: Session) -> int:
    """Runs every combination of a sweep, or the missing jobs of the sweep that `sweep.resume` names.

    Returns 0 if all jobs are done, 1 if one failed, 130 or 143 if a signal stopped the sweep. Raises UserError for an
    invalid job, before anything is written.
    """
    session.say()
    plan = make_plan(session.composer, session.words)
    copies = _open_copies(session, plan) if plan.sweeper == "optuna" else None
    if plan.is_new:
        plan = plan._replace(folder=plan.folder.create())
    config = sweep_config(session.composer, plan)
    best = None
    os.environ["PYTHONSAFEPATH"] = "1"  # a launcher's processes import nothing of the working folder
    with plan.folder.hold(), forward_to_jobs(plan.folder, wait=plan.launcher in LOCAL) as stop:
        plan.folder.save_plan(plan.words, plan.jobs)
        with contextlib.suppress(KeyboardInterrupt):
            if plan.sweeper == "optuna":
                best = _search(session, plan, config, copies)
            else:
                _run_missing(session, plan, config, plan.jobs, {})
        _, jobs = plan.folder.load_plan()
        results = read_results(plan.folder, jobs)
        write_csv(plan.folder, results, plan.repeats)
    show(results, plan.repeats)
    if best is not None:
        print(printable(best))
    return _finish(session, plan, results, stop.number)


def print_jobs(session: Session, part: str, resolve: bool) -> int:
    """Prints a part of the configuration (job, hydra or all) of each job as a YAML document. Returns the exit code.

    Raises:
        UserError: for an invalid job, and for a search, which chooses its jobs one after the other.
    """
    session.say()
    plan = make_plan(session.composer, session.words)
    if plan.sweeper == "optuna":
        raise UserError(
            "--cfg", part, "a sweep over lists; a search chooses its values as it runs", "omit -m and hparams_search"
        )
    for job in plan.jobs:
        config = check(session.composer, job.words, on_this_machine=False)
        show_text(f"--- # {printable(job.name)}\n{printed(config, part, resolve)}")
    return 0


def _open_copies(session: Session, plan: Plan) -> Copies | None:
    """Opens the storage of a search, if it has one, before anything is written elsewhere."""
    settings = sweep_config(session.composer, plan).hydra.sweeper
    return None if settings.storage is None else Copies(settings, plan.folder.path, plan.is_new)


def _search(session: Session, plan: Plan, config: DictConfig, copies: Copies | None) -> str | None:
    """Runs the trials of a search and returns a line about the best one."""
    from genimg.sweeps.search import Search

    search = Search(session.composer, plan, config.hydra.sweeper, copies)
    search.run(lambda jobs: _run_missing(session, plan, config, jobs, search.pruning()))
    return search.best()


def _run_missing(
    session: Session, plan: Plan, config: DictConfig, jobs: Sequence[Job], pruning: dict[str, Any]
) -> None:
    """Runs those of `jobs` that are not complete. pruning: the callback that prunes a job, by the job's name."""
    missing = [result.job for result in read_results(plan.folder, jobs) if result.state not in COMPLETE]
    local = plan.launcher in LOCAL
    run_job = RunJob(session, plan.folder, plan.fail_fast, plan.downloads, pruning, plan.slots, local)
    launch(session.composer, config, run_job, missing)


def _finish(session: Session, plan: Plan, results: Sequence[Result], signal_number: int | None) -> int:
    """Prints where the results are and how to resume. Returns the exit code."""
    folder = plan.folder
    stopped = None if signal_number is None else 128 + signal_number
    if plan.launcher == "basic":  # there `launch.start` handles signals instead of the sweep
        codes = [record.exit_code for one in results if (record := folder.read(one.job.name)) is not None]
        stopped = next((code for code in codes if code in STOPPED), stopped)
    done = sum(result.state in COMPLETE for result in results)
    if stopped is None:
        write_comparison(session, folder)
    print(f"{done} of {len(results)} jobs done, table: {printable(str(folder.table))}")
    if done < len(results) and session.task == "train":
        resume = ["-m", f"sweep.resume={quoted(str(folder.path))}", *to_repeat(session.composer, plan.words)]
        print(f"to run the missing jobs: {printable(session.command(resume))}")
    return stopped or int(done < len(results))


def write_comparison(session: Session, folder: SweepFolder) -> None:
    """Writes a page that compares the runs of the sweep, if there are two."""
    if session.task == "train" and len(list(folder.path.glob("*/config.yaml"))) > 1:
        words = [f"runs={quoted(str(folder.path))}", f"out={quoted(str(folder.comparison))}"]
        Session("compare", words, None, session.worker).run(cfg=None, resolve=False)
