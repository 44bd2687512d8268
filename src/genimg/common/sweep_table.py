"""sweep.csv, the table of a sweep: its columns, its writer and its reader."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from itertools import islice
from pathlib import Path

from genimg.common.files import atomic_write
from genimg.common.reading import DIGITS

NAME = "sweep.csv"  # in the folder of the sweep
# of a file that is read: it may be untrusted
MAX_ROWS = 10_000
MAX_BYTES = 2**24
_SEED_COLUMNS = ("seeds", "mean", "half_width_95")


@dataclass(frozen=True)
class Row:
    """The columns: one job, its monitored metric, and the mean of that over the seeds of its combination."""

    job: int
    overrides: str
    state: str
    seconds: float | None
    metric: str
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


_TYPES = {field.name: str(field.type) for field in fields(Row)}


def interval(mean: float | None, half_width: float | None) -> str:
    """Formats a mean and its 95 % interval as `0.512 ± 0.034`, without a part that is None."""
    return f"{'' if mean is None else f'{mean:.4g}'}{'' if half_width is None else f' ± {half_width:.2g}'}"


def write(path: Path, rows: Iterable[Row], seeds: bool) -> None:
    """Writes the table. seeds: whether combinations are repeated; otherwise those columns are omitted."""
    text = io.StringIO()
    names = [field.name for field in fields(Row) if seeds or field.name not in _SEED_COLUMNS]
    table = csv.DictWriter(text, names, extrasaction="ignore", lineterminator="\n")
    table.writeheader()
    table.writerows(asdict(row) for row in rows)
    with atomic_write(path) as file:
        file.write(text.getvalue().encode(errors="backslashreplace"))  # file names may be no UTF-8


def parse(text: str) -> list[Row]:
    """Returns the rows of a table that `write` wrote. Raises ValueError for other text."""
    try:
        rows = list(islice(csv.DictReader(io.StringIO(text, newline="")), MAX_ROWS + 1))
        if len(rows) > MAX_ROWS:
            raise ValueError(f"more than {MAX_ROWS:,} rows")
        return [
            Row(**{name: _value(name, cell) for name, cell in row.items()})  # pyright: ignore[reportArgumentType]
            for row in rows
        ]
    except (csv.Error, TypeError) as error:  # missing or additional columns or cells
        raise ValueError(str(error)) from error


def _value(name: str, cell: object) -> str | float | None:
    if not isinstance(cell, str):
        raise TypeError("a row as long as the header")
    kind = _TYPES.get(name, "str")
    if kind == "str":
        return cell
    if not cell and "None" in kind:
        return None
    number = float(cell) if "float" in kind else int(cell)
    if not abs(number) < math.inf or len(cell) > DIGITS:
        raise ValueError(f"its {name} is {cell:.20}")
    return number
