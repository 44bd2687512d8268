"""The end of a sweep: a table in the terminal, the same as CSV, and every failure by name."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import replace

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from genimg.common import sweep_table
from genimg.common.monitored import compare
from genimg.sweeps.folder import SweepFolder
from genimg.sweeps.outcomes import Outcome, over_seeds

_WIDTH = 100  # columns where there is no terminal


def show(found: Sequence[Outcome], seeds: bool) -> None:
    """Prints the table; after it the means over seeds where there are `seeds`, and the failures."""
    console = Console(width=None if sys.stdout.isatty() else _WIDTH, highlight=False)
    common = _common(found)
    if common:
        console.print(f"\nin every job: {' '.join(common)}", markup=False, soft_wrap=True)
    figures = [outcome.best for outcome in found if outcome.best]
    names = {figure.name for figure in figures}  # of an RNN another one than of a GAN
    title = names.pop() if len(names) == 1 else "result"
    console.print(_of_jobs(found, title, common))
    if seeds:
        console.print(_of_combinations(found, title, common))
    if not compare(figures):
        print("not all compare: only figures of one name and n do, as with one budget.images for all")
    for number, outcome in enumerate(found):
        if outcome.state == "failed":
            print(f"job {number} failed: {outcome.error}\n  {outcome.folder}", file=sys.stderr)


def _of_jobs(found: Sequence[Outcome], title: str, common: list[str]) -> Table:
    table = Table("job", "overrides", title, "n", "time", "state")
    for number, outcome in enumerate(found):
        best = outcome.best
        value = "" if best is None else f"{'' if title == best.name else best.name} {best.value:.4g}".strip()
        n = "" if best is None or best.n is None else f"{best.n:,}"
        own = _own(outcome.job.words, common)
        table.add_row(str(number), own, value, n, _time(outcome.seconds), outcome.state)
    return table


def _of_combinations(found: Sequence[Outcome], title: str, common: list[str]) -> Table:
    table = Table("overrides", "seeds", f"{title}: mean, 95 % interval")
    for one in over_seeds(found):
        table.add_row(_own(one.words, common), str(one.num_seeds), sweep_table.interval(one.mean, one.half_width))
    return table


def write_csv(folder: SweepFolder, found: Sequence[Outcome], seeds: bool) -> None:
    """A row for each job; with `seeds`, beside each the mean of its combination."""
    means = {tuple(one.words): one for one in over_seeds(found)} if seeds else {}
    rows = []
    for number, outcome in enumerate(found):
        best = outcome.best
        row = sweep_table.Row(
            number,
            overrides=" ".join(outcome.job.words),
            state=outcome.state,
            seconds=None if outcome.seconds is None else round(outcome.seconds, 1),
            figure="" if best is None else best.name,
            value=None if best is None else best.value,
            n=None if best is None else best.n,
            folder=os.path.relpath(outcome.folder, folder.path),
            error=outcome.error or "",
        )
        if seeds:
            one = means[tuple(word for word in outcome.job.words if not word.startswith("seed="))]
            row = replace(row, seeds=one.num_seeds, mean=one.mean, half_width_95=one.half_width)
        rows.append(row)
    sweep_table.write(folder.table, rows, seeds)


def _common(found: Sequence[Outcome]) -> list[str]:
    """The overrides that all of several jobs have."""
    shared = set.intersection(*(set(outcome.job.words) for outcome in found)) if len(found) > 1 else set()
    return [word for word in found[0].job.words if word in shared] if shared else []


def _own(words: list[str], common: list[str]) -> str:
    """Those that not all jobs have."""
    return escape(" ".join(word for word in words if word not in common))


def _time(seconds: float | None) -> str:
    return "" if seconds is None else f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
