"""`-m`: all jobs checked, then run by Hydra's launcher, each in a worker and a folder of its own, then a table."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

from omegaconf import DictConfig

from genimg.common.errors import STOPPED
from genimg.common.quoting import quoted
from genimg.launch.session import Session
from genimg.sweeps.engines import LOCAL, launch
from genimg.sweeps.folder import Job, SweepFolder
from genimg.sweeps.job import RunJob
from genimg.sweeps.outcomes import COMPLETE, Outcome, outcomes
from genimg.sweeps.plan import Plan, make_plan, master
from genimg.sweeps.stopping import stopping
from genimg.sweeps.table import show, write_csv


def sweep(session: Session) -> int:
    """Runs every combination that the words of `session` ask for, or what is missing of the sweep to resume.

    Returns 0 where all jobs are done, 1 where one failed, 130 or 143 where the sweep was stopped. UserError, before
    anything is written, where a job is wrong.
    """
    plan = make_plan(session.composer, session.words)
    config = master(session.composer, plan)
    best = None
    with plan.folder.held(), stopping(plan.folder, waits=plan.launcher in LOCAL) as heard:
        plan.folder.save_plan(plan.words, plan.jobs)
        with contextlib.suppress(KeyboardInterrupt):
            if plan.sweeper == "optuna":
                best = _search(session, plan, config)
            else:
                _run_missing(session, plan, config, plan.jobs, {})
        _, jobs = plan.folder.load_plan()
        found = outcomes(plan.folder, jobs)
        write_csv(plan.folder, found, plan.repeats)
    show(found, plan.repeats)
    if best is not None:
        print(best)
    return _end(session, plan, found, heard.number)


def _search(session: Session, plan: Plan, config: DictConfig) -> str | None:
    """Runs the trials of a search; a line on the best of them."""
    from genimg.sweeps.search import Search

    search = Search(session.composer, plan, config.hydra.sweeper)
    search.run(lambda jobs: _run_missing(session, plan, config, jobs, search.pruning()))
    return search.best()


def _run_missing(
    session: Session, plan: Plan, config: DictConfig, jobs: Sequence[Job], pruning: dict[str, Any]
) -> None:
    """Runs those of `jobs` that are not complete. pruning: the callback that prunes a job, by its name."""
    missing = [one.job for one in outcomes(plan.folder, jobs) if one.state not in COMPLETE]
    local = plan.launcher in LOCAL
    run_job = RunJob(session, plan.folder, plan.fail_fast, plan.downloads, pruning, plan.places, local)
    launch(session.composer, config, run_job, missing)


def _end(session: Session, plan: Plan, found: Sequence[Outcome], heard: int | None) -> int:
    """Says where everything lies and how to go on; the exit code."""
    folder = plan.folder
    stopped = None if heard is None else 128 + heard
    if plan.launcher == "basic":  # there the worker's launch hears of a signal in the sweep's place
        codes = [record.exit_code for one in found if (record := folder.read(one.job.name)) is not None]
        stopped = next((code for code in codes if code in STOPPED), stopped)
    done = sum(outcome.state in COMPLETE for outcome in found)
    if stopped is None:
        _compare(session, folder)
    print(f"{done} of {len(found)} jobs done, table: {folder.table}")
    if done < len(found) and session.task == "train":
        print(f"what is missing: {session.command(['-m', f'sweep.resume={quoted(str(folder.path))}'])}")
    return stopped or int(done < len(found))


def _compare(session: Session, folder: SweepFolder) -> None:
    """The runs of the sweep side by side as a page, where there are two."""
    if session.task == "train" and len(list(folder.path.glob("*/config.yaml"))) > 1:
        words = [f"runs={quoted(str(folder.path))}", f"out={quoted(str(folder.comparison))}"]
        Session("compare", words, None).run(cfg=None, resolve=False)
