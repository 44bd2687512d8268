"""What became of the jobs of a sweep, read from its folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genimg.errors import STOPPED
from genimg.metrics.intervals import mean_interval
from genimg.runs import RunFolder
from genimg.sweeps.folder import Job, Record, SweepFolder

COMPLETE = ("done", "pruned")  # states that a resumed sweep leaves alone


@dataclass(frozen=True)
class Outcome:
    """What became of one job, and its figure where it has one."""

    job: Job
    folder: Path
    state: str  # done, pruned, failed, stopped, unfinished or not started
    seconds: float | None
    figure: str  # the name of the figure that the model is judged by; "" where there is none
    value: float | None  # at its best
    n: int | None  # pictures or clips that it is of
    rises: bool  # whether more is better
    error: str | None


@dataclass(frozen=True)
class OverSeeds:
    """The jobs that differ in their seed alone, those that are done."""

    words: list[str]
    num_seeds: int
    mean: float | None
    half_width: float | None  # of the 95 % interval of the mean; None under two seeds


def outcomes(folder: SweepFolder, jobs: Sequence[Job]) -> list[Outcome]:
    """The outcome of every job, in their order."""
    found = []
    for job in jobs:
        record, run = folder.read(job.name), RunFolder(folder.path / job.name)
        best = _best(run.best_figure)
        state = "pruned" if run.pruned.is_file() and record and record.exit_code == 0 else _state(record)
        found.append(
            Outcome(
                job,
                run.path,
                state,
                record.seconds if record and record.exit_code is not None else None,
                best.get("name", ""),
                best.get("value"),
                best.get("n"),
                best.get("direction") == "max",
                record.error if record and state == "failed" else None,
            )
        )
    return found


def over_seeds(found: Sequence[Outcome]) -> list[OverSeeds]:
    """Means over the seeds of each combination, in the order in which these came up."""
    groups: dict[tuple[str, ...], list[float]] = {}
    for outcome in found:
        values = groups.setdefault(tuple(w for w in outcome.job.words if not w.startswith("seed=")), [])
        if outcome.state == "done" and outcome.value is not None:
            values.append(outcome.value)
    return [OverSeeds(list(words), len(values), *mean_interval(values)) for words, values in groups.items()]


def compare(found: Sequence[Outcome]) -> bool:
    """Whether those of one name are all of as many pictures or clips: else they say nothing of which is better."""
    measured = [outcome for outcome in found if outcome.value is not None]
    return len({(one.figure, one.n) for one in measured}) == len({one.figure for one in measured})


def _best(path: Path) -> dict[str, Any]:
    """The figure of a run at its best, as its callback wrote it; nothing where there is none, or it is damaged."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(found, dict) or not isinstance(found.get("name"), str):
        return {}
    numbers = isinstance(found.get("value"), int | float | None) and isinstance(found.get("n"), int | None)
    return found if numbers else {}


def _state(record: Record | None) -> str:
    if record is None:
        return "not started"
    if record.exit_code is None:
        return "unfinished"
    if record.exit_code == 0:
        return "done"
    return "stopped" if record.exit_code in STOPPED else "failed"
