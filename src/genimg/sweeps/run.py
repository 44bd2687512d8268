"""`-m`: all jobs checked, then run by Hydra's launcher, each in a worker and a folder of its own, then a table."""

from __future__ import annotations

from collections.abc import Sequence

from hydra._internal.callbacks import Callbacks
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.types import HydraContext
from omegaconf import DictConfig

from genimg.config.compose import Composer, quoted
from genimg.errors import UserError
from genimg.session import Session
from genimg.sweeps.folder import Job, SweepFolder
from genimg.sweeps.job import STOPPED, RunJob
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
    with plan.folder.held():
        plan.folder.save_plan(plan.words, plan.jobs)
        pending = [one.job for one in outcomes(plan.folder, plan.jobs) if one.state not in COMPLETE]
        with stopping(plan.folder, waits=True) as heard:
            run_job = RunJob(session, plan.folder, plan.fail_fast)
            launch(session.composer, config, run_job, pending)
        found = outcomes(plan.folder, plan.jobs)
        write_csv(plan.folder, found, plan.seeds)
    show(found, plan.seeds)
    return _end(session, plan, found, heard.number)


def launch(composer: Composer, config: DictConfig, run_job: RunJob, jobs: Sequence[Job]) -> None:
    """Runs `jobs` by the launcher that `config`, of the sweep, names."""
    if not jobs:
        return
    context = HydraContext(config_loader=composer.loader, callbacks=Callbacks(config))
    words = [[*job.words, f"hydra.sweep.subdir={quoted(job.name)}"] for job in jobs]
    try:
        launcher = Plugins.instance().instantiate_launcher(context, run_job, config)
        launcher.launch(words, initial_job_idx=0)
    except HydraException as error:
        raise UserError("-m", None, f"a sweep that Hydra can run: {error}") from error


def _end(session: Session, plan: Plan, found: Sequence[Outcome], heard: int | None) -> int:
    """Says where everything lies and how to go on; the exit code."""
    codes = [record.exit_code for job in plan.jobs if (record := plan.folder.read(job.name)) is not None]
    stopped = next((code for code in codes if code in STOPPED), None if heard is None else 128 + heard)
    done = sum(outcome.state in COMPLETE for outcome in found)
    if stopped is None:
        _compare(session, plan.folder)
    print(f"{done} of {len(found)} jobs done, table: {plan.folder.table}")
    if done < len(found):
        print(f"what is missing: {session.command(['-m', f'sweep.resume={plan.folder.path}'])}")
    return stopped or int(done < len(found))


def _compare(session: Session, folder: SweepFolder) -> None:
    """The runs of the sweep side by side as a page, where there are two."""
    if session.task == "train" and len(list(folder.path.glob("*/config.yaml"))) > 1:
        words = [f"runs={quoted(str(folder.path))}", f"out={quoted(str(folder.comparison))}"]
        Session("compare", words, None).run(cfg=None, resolve=False)
