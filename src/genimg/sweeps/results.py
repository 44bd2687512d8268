"""Results of a sweep, read from its folder: a table in the terminal, the same as CSV, and every failure."""

from __future__ import annotations

import math
import os
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from genimg.common import sweep_table
from genimg.common.errors import STOPPED
from genimg.common.monitored import Monitored, comparable, read_best
from genimg.common.run_folder import RunFolder
from genimg.common.text import printable, printable_line
from genimg.sweeps.folder import Job, Record, SweepFolder

COMPLETE = ("done", "pruned")  # states of jobs that a resumed sweep does not run again
_WIDTH = 100  # columns of the table outside a terminal


@dataclass(frozen=True)
class Result:
    """The result of one job."""

    job: Job
    folder: Path
    state: str  # done, pruned, failed, stopped, unfinished or not started
    seconds: float | None
    best: Monitored | None  # the best value of the monitored metric
    error: str | None


@dataclass(frozen=True)
class SeedMean:
    """The mean over the finished jobs that differ only in their seed."""

    words: list[str]
    num_seeds: int
    mean: float | None  # None if their metrics are not comparable
    half_width: float | None  # of the 95 % interval of the mean; None for fewer than two seeds


def read_results(folder: SweepFolder, jobs: Sequence[Job]) -> list[Result]:
    """Returns the result of every job, in order."""
    results = []
    for job in jobs:
        record, run = folder.read(job.name), RunFolder(folder.path / job.name)
        state = "pruned" if run.pruned.is_file() and record and record.exit_code == 0 else _state(record)
        seconds = record.seconds if record and record.exit_code is not None else None
        error = record.error if record and state == "failed" else None
        results.append(Result(job, run.path, state, seconds, read_best(run.best_metric), error))
    return results


def _state(record: Record | None) -> str:
    if record is None:
        return "not started"
    if record.exit_code is None:
        return "unfinished"
    if record.exit_code == 0:
        return "done"
    return "stopped" if record.exit_code in STOPPED else "failed"


def seed_means(results: Sequence[Result]) -> list[SeedMean]:
    """Returns the mean over the seeds of each combination, in order."""
    groups: dict[tuple[str, ...], list[Monitored]] = {}
    for result in results:
        values = groups.setdefault(_without_seed(result.job), [])
        if result.state == "done" and result.best is not None:
            values.append(result.best)
    return [
        SeedMean(list(words), len(values), *mean_interval([one.value for one in values] if comparable(values) else []))
        for words, values in groups.items()
    ]


def mean_interval(values: Sequence[float], confidence: float = 0.95) -> tuple[float | None, float | None]:
    """Returns the mean and half the width of its interval by Student's t; None for what too few values do not define.

    Student 1908: the mean of n normal values lies within t_{n-1} s / sqrt(n) of the expected value.
    """
    if not values:
        return None, None
    mean = statistics.fmean(values)
    if len(values) < 2:
        return mean, None
    from scipy.special import stdtrit  # the quantile of t; imported here since most commands do not need it

    quantile = float(stdtrit(len(values) - 1, 0.5 + confidence / 2))
    return mean, quantile * statistics.stdev(values) / math.sqrt(len(values))


def _without_seed(job: Job) -> tuple[str, ...]:
    return tuple(word for word in job.words if not word.startswith("seed="))


def show(results: Sequence[Result], seeds: bool) -> None:
    """Prints a table of the jobs; with `seeds`, one of the means over the seeds; and the failures."""
    console = Console(width=None if sys.stdout.isatty() else _WIDTH, highlight=False)
    common = _common_words(results)
    if common:
        console.print(f"\nin every job: {printable(' '.join(common))}", markup=False, soft_wrap=True)
    values = [result.best for result in results if result.best]
    names = {value.name for value in values}  # an RNN has another metric than a GAN
    title = names.pop() if len(names) == 1 else "result"
    console.print(_job_table(results, title, common))
    if seeds:
        console.print(_seed_table(results, title, common))
    if not comparable(values):
        print("results are comparable only for one metric and one n, as with the same budget.images for all jobs")
    for number, result in enumerate(results):
        if result.state == "failed":
            error, folder = printable_line(result.error), printable(str(result.folder))
            print(f"job {number} failed: {error}\n  {folder}", file=sys.stderr)


def _job_table(results: Sequence[Result], title: str, common: list[str]) -> Table:
    table = Table("job", "overrides", title, "n", "time", "state")
    for number, result in enumerate(results):
        best = result.best
        value = "" if best is None else f"{'' if title == best.name else best.name} {best.value:.4g}".strip()
        n = "" if best is None else f"{best.n:,}"
        seconds = result.seconds
        duration = "" if seconds is None else f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
        table.add_row(str(number), _distinct_words(result.job.words, common), value, n, duration, result.state)
    return table


def _seed_table(results: Sequence[Result], title: str, common: list[str]) -> Table:
    table = Table("overrides", "seeds", f"{title}: mean, 95 % interval")
    for one in seed_means(results):
        interval = sweep_table.interval(one.mean, one.half_width)
        table.add_row(_distinct_words(one.words, common), str(one.num_seeds), interval)
    return table


def _common_words(results: Sequence[Result]) -> list[str]:
    """Returns the overrides that all of several jobs have."""
    shared = set.intersection(*(set(result.job.words) for result in results)) if len(results) > 1 else set()
    return [word for word in results[0].job.words if word in shared] if shared else []


def _distinct_words(words: list[str], common: list[str]) -> str:
    return escape(printable(" ".join(word for word in words if word not in common)))


def write_csv(folder: SweepFolder, results: Sequence[Result], seeds: bool) -> None:
    """Writes a row for each job; with `seeds`, beside each the mean of its combination."""
    means = {tuple(one.words): one for one in seed_means(results)} if seeds else {}
    rows = []
    for number, result in enumerate(results):
        best = result.best
        row = sweep_table.Row(
            number,
            overrides=" ".join(result.job.words),
            state=result.state,
            seconds=None if result.seconds is None else round(result.seconds, 1),
            metric="" if best is None else best.name,
            value=None if best is None else best.value,
            n=None if best is None else best.n,
            folder=os.path.relpath(result.folder, folder.path),
            error=result.error or "",
        )
        if seeds:
            one = means[_without_seed(result.job)]
            row = replace(row, seeds=one.num_seeds, mean=one.mean, half_width_95=one.half_width)
        rows.append(row)
    sweep_table.write(folder.table, rows, seeds)
