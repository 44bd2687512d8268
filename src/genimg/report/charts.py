"""Curves for plotly: a chart a figure, over the images or clips seen."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, TypeGuard

from genimg.evaluation.figure import shown
from genimg.report.run import Row, Run

Chart = dict[str, Any]  # name, x (what the axis shows), traces, legend, told (each trace in words)

POINTS = 1000  # of a curve, at most: more than a screen has pixels for
_DENSE = 60  # points, over which a curve is marked at some of them only
_MARKED = 15
#: What a row tells beside its figures.
COUNTERS = ("images_seen", "seconds", "stage", "n")
_LAST = ("lr", "images_per_second")  # how the names of what is about the run, not about its images, begin


def of_run(run: Run) -> list[Chart]:
    """A chart for every figure of the run, training and validation in one; then those of its evaluation by horizon."""
    stages = sorted({row["stage"] for row in run.rows})
    parts = [(stage, [row for row in run.rows if row["stage"] == stage]) for stage in stages]
    found = [*_curves(parts, run.counts), *_horizons([("samples", run)], floor=True)]
    return [chart | {"legend": len(chart["traces"]) > 1} for chart in found]


def of_runs(runs: Sequence[tuple[str, Run]]) -> list[Chart]:
    """A chart for every figure, a curve a run: of validation where there is one, else of training."""
    parts = []
    for name, run in runs:
        validated = {key for row in run.rows if row["stage"] == "val" for key in row}
        hidden = validated - set(COUNTERS)
        train = [{k: v for k, v in row.items() if k not in hidden} for row in run.rows if row["stage"] == "train"]
        parts += [(name, train), (name, [row for row in run.rows if row["stage"] == "val"])]
    found = [*_curves(parts, counts(run for _, run in runs)), *_horizons(runs, floor=False)]
    return [chart | {"legend": True} for chart in found]  # a curve alone does not tell whose it is


def counts(runs: Iterable[Run]) -> str:
    """What the runs count: `images`, `clips`, or both."""
    return " or ".join(sorted({run.counts for run in runs}, reverse=True))


def _curves(parts: Sequence[tuple[str, list[Row]]], counted: str) -> list[Chart]:
    names = dict.fromkeys(key for _, rows in parts for row in rows for key in row if key not in COUNTERS)
    ordered = sorted(names, key=lambda name: name.startswith(_LAST))  # stable: else as they came
    charts = []
    for name in ordered:
        chart = _chart(name, f"{counted} seen")
        for label, rows in parts:
            having = [row for row in rows if name in row]
            if having:
                _add(chart, label, [row["images_seen"] for row in having], [row[name] for row in having])
        charts.append(chart)
    return charts


def _horizons(runs: Sequence[tuple[str, Run]], floor: bool) -> list[Chart]:
    """The figures of sequences, frame by frame after the start."""
    charts: dict[str, Chart] = {}
    for label, run in runs:
        for figure in run.evaluation.get("figures", []):
            lines = {label: figure.get("by_horizon"), "start held still": figure.get("floor_by_horizon")}
            for name, values in lines.items():
                if values and (floor or name == label):
                    title = f"{figure['name']} by horizon"
                    chart = charts.setdefault(title, _chart(title, "frames after the start"))
                    _add(chart, name, list(range(1, len(values) + 1)), values)
    return list(charts.values())


def _chart(name: str, x: str) -> Chart:
    return {"name": name, "x": x, "traces": [], "told": []}


def _add(chart: Chart, name: str, x: list[Any], y: list[Any]) -> None:
    """A curve of these points, of which it has `POINTS` at most; it is told of all."""
    step = -(-len(x) // POINTS)
    marker = {"maxdisplayed": _MARKED if len(x) > _DENSE else 0}  # 0: all
    curve = {"type": "scatter", "name": name, "x": x[::step], "y": y[::step], "mode": "lines+markers", "marker": marker}
    chart["traces"].append(curve)
    chart["told"].append(f"{name}: {_told(y)}")


def _told(values: list[float | None]) -> str:
    """A curve for those who do not see it: `first 1.23, last 0.45, between 0.4 and 1.3`."""
    if len(values) == 1:
        return _in_words(values[0])
    ends = f"first {_in_words(values[0])}, last {_in_words(values[-1])}"
    finite = [value for value in values if _is_finite(value)]
    if len(values) == 2 or not finite:
        return ends
    return f"{ends}, between {shown(min(finite))} and {shown(max(finite))}"


def _in_words(value: float | None) -> str:
    return shown(value) if _is_finite(value) else "not finite"


def _is_finite(value: float | None) -> TypeGuard[float]:
    return value is not None and math.isfinite(value)
