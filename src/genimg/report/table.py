"""The table of metrics in a comparison: one column per metric, one row per run."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from genimg.evaluation.figure import Better
from genimg.report import charts
from genimg.report.run import Run


class Cell(NamedTuple):
    """A metric of one run.

    Attributes:
        better: the direction of improvement; empty if there is none or it is unknown.
        n: number of images or clips; None if it does not apply.
        basis: the data and the extractor. Values are comparable only if basis and n are equal.
    """

    value: float | None
    better: str = ""
    n: int | None = None
    basis: object = None


@dataclass(frozen=True)
class Column:
    """A metric of all runs.

    Attributes:
        notes: direction, and n if it is equal in all runs.
        values: one per run; None if it is missing or not finite.
        best: the indices of the best values; empty if the values are not comparable.
        n: of each run, if it differs; else empty.
    """

    name: str
    notes: list[str]
    values: list[float | None]
    best: list[int]
    n: list[int | None]


def columns(runs: Sequence[Run]) -> list[Column]:
    """The columns of the table."""
    directions: dict[str, Better] = {}
    for run in runs:
        directions |= run.monitor
    found: dict[str, dict[int, Cell]] = {}
    for index, run in enumerate(runs):
        for name, cell in _cells(run, directions):
            found.setdefault(name, {})[index] = cell
    return [_column(name, cells, len(runs)) for name, cells in found.items()]


def _column(name: str, cells: dict[int, Cell], count: int) -> Column:
    row = [cells.get(index, Cell(None)) for index in range(count)]
    numbers = {cell.n for cell in cells.values()}
    notes = [next(iter(cells.values())).better, *(f"n {n:,}" for n in numbers if n and len(numbers) == 1)]
    n = [cell.n for cell in row] if len(numbers) > 1 else []
    return Column(name, list(filter(None, notes)), [cell.value for cell in row], _best(cells), n)


def _cells(run: Run, directions: Mapping[str, Better]) -> Iterator[tuple[str, Cell]]:
    """(column, cell) of a run: its budget, its last validation metrics and its evaluation."""
    yield f"{run.unit} seen", Cell(run.images_seen)
    yield "seconds", Cell(run.seconds)
    data = run.group("data")
    basis = data.get("name"), data.get("image_size")
    last = {name: (value, row.get("n")) for row in run.rows if row["stage"] == "val" for name, value in row.items()}
    for name, (value, n) in last.items():
        if name not in charts.COUNTERS:
            yield f"val {name}", Cell(value, directions.get(name, ""), n, basis)
    if run.evaluation is None:
        return
    basis = run.evaluation.extractor["digest"], run.evaluation.data
    for figure in run.evaluation.figures:
        if figure.group != "cost":
            yield figure.name, Cell(figure.value, figure.better, figure.n, basis)
        elif figure.name.startswith("parameters"):
            yield figure.name, Cell(figure.value)


def _best(cells: dict[int, Cell]) -> list[int]:
    """The runs with the best value; none without a direction, or if the values are not comparable."""
    finite = {i: cell.value for i, cell in cells.items() if cell.value is not None and math.isfinite(cell.value)}
    first = next(iter(cells.values()))
    if len(finite) < 2 or not first.better or any(cell[1:] != first[1:] for cell in cells.values()):
        return []
    best = max(finite.values()) if first.better == "higher" else min(finite.values())
    return [index for index, value in finite.items() if value == best]
