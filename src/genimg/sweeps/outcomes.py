"""What became of the jobs of a sweep, read from its folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from genimg.common.errors import STOPPED
from genimg.common.intervals import mean_interval
from genimg.common.monitored import Monitored, compare, read_best
from genimg.common.run_folder import RunFolder
from genimg.sweeps.folder import Job, Record, SweepFolder

COMPLETE = ("done", "pruned")  # states that a resumed sweep leaves alone


@dataclass(frozen=True)
class Outcome:
    """What became of one job."""

    job: Job
    folder: Path
    state: str  # done, pruned, failed, stopped, unfinished or not started
    seconds: float | None
    best: Monitored | None  # its figure, where it has one
    error: str | None


@dataclass(frozen=True)
class OverSeeds:
    """The jobs that differ in their seed alone, those that are done."""

    words: list[str]
    num_seeds: int
    mean: float | None  # None as well where their figures are of other numbers of images
    half_width: float | None  # of the 95 % interval of the mean; None under two seeds


def outcomes(folder: SweepFolder, jobs: Sequence[Job]) -> list[Outcome]:
    """The outcome of every job, in their order."""
    found = []
    for job in jobs:
        record, run = folder.read(job.name), RunFolder(folder.path / job.name)
        state = "pruned" if run.pruned.is_file() and record and record.exit_code == 0 else _state(record)
        seconds = record.seconds if record and record.exit_code is not None else None
        error = record.error if record and state == "failed" else None
        found.append(Outcome(job, run.path, state, seconds, read_best(run.best_metric), error))
    return found


def over_seeds(found: Sequence[Outcome]) -> list[OverSeeds]:
    """Means over the seeds of each combination, in the order in which these came up; of figures that compare."""
    groups: dict[tuple[str, ...], list[Monitored]] = {}
    for outcome in found:
        figures = groups.setdefault(tuple(w for w in outcome.job.words if not w.startswith("seed=")), [])
        if outcome.state == "done" and outcome.best is not None:
            figures.append(outcome.best)
    return [
        OverSeeds(list(words), len(figures), *mean_interval([one.value for one in figures] if compare(figures) else []))
        for words, figures in groups.items()
    ]


def _state(record: Record | None) -> str:
    if record is None:
        return "not started"
    if record.exit_code is None:
        return "unfinished"
    if record.exit_code == 0:
        return "done"
    return "stopped" if record.exit_code in STOPPED else "failed"
