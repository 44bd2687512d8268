"""A metric of an evaluation with its context, and a table of metrics."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rich.table import Table

Better = Literal["higher", "lower", ""]


@dataclass(frozen=True)
class Figure:
    """One metric of a run.

    Attributes:
        group: the question it answers: sample quality, reconstruction, likelihood, ...
        value: null in evaluation.json if it is not finite.
        kind: `exact`, `lower bound, K = 16`, `measured` (by a clock), or `proxy`: a substitute for human judgement.
        n: number of images, clips or latents it was computed from.
        better: the direction of improvement; empty if there is none.
        floor: the same metric of real images against real images, or of a baseline that `note` names.
        uncertainty: standard deviation over subsets, or standard error of the mean.
        by_horizon, floor_by_horizon: for sequences, the value at each frame after the start.
    """

    group: str
    name: str
    value: float
    kind: str
    n: int
    better: Better = ""
    floor: float | None = None
    uncertainty: float | None = None
    unit: str = ""
    note: str = ""
    by_horizon: tuple[float, ...] = ()
    floor_by_horizon: tuple[float, ...] = ()


def counted(makes_sequences: bool) -> str:
    """The unit of `images_seen`: clips or images."""
    return "clips" if makes_sequences else "images"


def table(figures: Sequence[Figure]) -> Table:
    """Returns the figures as a table for the terminal, one row each."""
    rows = Table(box=None, pad_edge=False, header_style="bold")
    rows.add_column("metric")
    for column in ("value", "floor", "n"):
        rows.add_column(column, justify="right")
    for column in ("better", "kind", "note"):
        rows.add_column(column)
    group = ""
    for figure in figures:
        if figure.group != group:
            group = figure.group
            rows.add_row(f"[bold]{group}[/bold]")
        value = shown(figure.value) + (f" ± {shown(figure.uncertainty)}" if figure.uncertainty is not None else "")
        floor = "" if figure.floor is None else shown(figure.floor)
        name = f"  {figure.name}" + (f" [dim]{figure.unit}[/dim]" if figure.unit else "")
        rows.add_row(name, value, floor, f"{figure.n:,}", figure.better, figure.kind, figure.note)
    return rows


def shown(value: float) -> str:
    """Formats a number with four significant digits; integers in full.

    >>> shown(12345.6), shown(0.123456), shown(3.0)
    ('12,346', '0.1235', '3')
    """
    if not math.isfinite(value):
        return str(value)
    if value == round(value) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4g}"
