"""A figure with all that belongs to it, and a table of them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rich.table import Table

Better = Literal["higher", "lower", ""]


@dataclass(frozen=True)
class Figure:
    """One number about a run.

    group: the question it answers: fidelity, structure, likelihood, ...
    kind: `exact`, `lower bound, K = 16`, `measured` by a clock, or `proxy`: a stand-in for what people see.
    n: images, clips or latents it was computed from.
    better: which way is better; empty where neither is.
    floor: the same figure of real against real images, or of a guess that knows nothing (then `note` says which).
    uncertainty: standard deviation over subsets, where the figure has subsets; the standard error of a mean.
    by_horizon, floor_by_horizon: of a sequence, the value at each frame after the start.
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
    """What training, sampling and `images_seen` count, in a word."""
    return "clips" if makes_sequences else "images"


def table(figures: Sequence[Figure]) -> Table:
    """For the terminal: a row a figure."""
    found = Table(box=None, pad_edge=False, header_style="bold")
    found.add_column("figure")
    for column in ("value", "floor", "n"):
        found.add_column(column, justify="right")
    for column in ("better", "kind", "note"):
        found.add_column(column)
    group = ""
    for figure in figures:
        if figure.group != group:
            group = figure.group
            found.add_row(f"[bold]{group}[/bold]")
        value = shown(figure.value) + (f" ± {shown(figure.uncertainty)}" if figure.uncertainty is not None else "")
        floor = "" if figure.floor is None else shown(figure.floor)
        name = f"  {figure.name}" + (f" [dim]{figure.unit}[/dim]" if figure.unit else "")
        found.add_row(name, value, floor, f"{figure.n:,}", figure.better, figure.kind, figure.note)
    return found


def shown(value: float) -> str:
    """Four significant digits, and whole numbers in full.

    >>> shown(12345.6), shown(0.123456), shown(3.0)
    ('12,346', '0.1235', '3')
    """
    if not math.isfinite(value):
        return str(value)
    if value == round(value) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4g}"
