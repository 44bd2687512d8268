"""The table of a sweep as a file: the sweep writes it, and the page of its runs shows it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from itertools import islice
from pathlib import Path

from genimg.common.files import atomic_write

NAME = "sweep.csv"  # in the sweep's folder
MOST = 10_000  # rows that are read: the file may be a stranger's
_OF_SEEDS = ("seeds", "mean", "half_width_95")


@dataclass(frozen=True)
class Row:
    """One job: what its model is judged by, and over the seeds of its combination the mean of that."""

    job: int
    overrides: str
    state: str
    seconds: float | None
    figure: str
    value: float | None
    n: int | None
    folder: str
    error: str
    seeds: int | None = None
    mean: float | None = None
    half_width_95: float | None = None

    @property
    def interval(self) -> str:
        return interval(self.mean, self.half_width_95)


def interval(mean: float | None, half_width: float | None) -> str:
    """A mean and its 95 % interval: `0.512 ± 0.034`; as much of it as there is."""
    return f"{'' if mean is None else f'{mean:.4g}'}{'' if half_width is None else f' ± {half_width:.2g}'}"


def write(path: Path, rows: Iterable[Row], seeds: bool) -> None:
    """seeds: whether the combinations are repeated; else the file has no columns for that."""
    text = io.StringIO()
    names = [field.name for field in fields(Row) if seeds or field.name not in _OF_SEEDS]
    table = csv.DictWriter(text, names, extrasaction="ignore", lineterminator="\n")
    table.writeheader()
    table.writerows(asdict(row) for row in rows)
    with atomic_write(path) as file:
        file.write(text.getvalue().encode())


def parse(text: str) -> list[Row]:
    """The rows that `write` wrote. ValueError where they are not of its kind."""
    try:
        rows = list(islice(csv.DictReader(io.StringIO(text, newline="")), MOST + 1))
        if len(rows) > MOST:
            raise ValueError(f"more than {MOST:,} rows")
        return [
            Row(**{name: _value(name, cell) for name, cell in row.items()})  # pyright: ignore[reportArgumentType]
            for row in rows
        ]
    except (csv.Error, TypeError) as error:  # a column or a cell too many, or not there
        raise ValueError(str(error)) from error


def _value(name: str, cell: object) -> str | float | None:
    if not isinstance(cell, str):
        raise TypeError("a row as long as the header")
    if name in ("overrides", "state", "figure", "folder", "error"):
        return cell
    if name == "job":
        return int(cell)
    if not cell:
        return None
    return int(cell) if name in ("n", "seeds") else float(cell)
