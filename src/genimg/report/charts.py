"""Curves for plotly: one chart per metric, over the images or clips seen."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, TypeGuard

from genimg.evaluation.figure import shown
from genimg.report.run import Row, Run

Chart = dict[str, Any]  # name, x (title of the axis), traces, legend, text (a description of each trace)

POINTS = 1000  # of a curve, at most: more than a screen has pixels
_DENSE = 60  # points above which only some are marked
_MARKED = 15
#: The columns of a row that are not metrics.
COUNTERS = ("images_seen", "seconds", "stage", "n")
_LAST = ("lr", "images_per_second")  # prefixes of metrics of the training process, which are shown last


def of_run(run: Run) -> list[Chart]:
    """A chart for every metric of the run, of training and validation; then those of its evaluation by horizon."""
    stages = sorted({row["stage"] for row in run.rows})
    parts = [(stage, [row for row in run.rows if row["stage"] == stage]) for stage in stages]
    found = [*_curves(parts, run.unit), *_horizons([("samples", run)], floor=True)]
    return [chart | {"legend": len(chart["traces"]) > 1} for chart in found]


def of_runs(runs: Sequence[tuple[str, Run]]) -> list[Chart]:
    """A chart for every metric, with one curve per run: of validation if there is one, else of training."""
    parts = []
    for name, run in runs:
        validation = [row for row in run.rows if row["stage"] == "val"]
        hidden = {key for row in validation for key in row} - set(COUNTERS)
        train = [{k: v for k, v in row.items() if k not in hidden} for row in run.rows if row["stage"] == "train"]
        parts += [(name, train), (name, validation)]
    found = [*_curves(parts, units(run for _, run in runs)), *_horizons(runs, floor=False)]
    return [chart | {"legend": True} for chart in found]  # also of a single curve: it names the run


def units(runs: Iterable[Run]) -> str:
    """The unit of `images_seen` in the runs: `images`, `clips`, or both."""
    return " or ".join(sorted({run.unit for run in runs}, reverse=True))


def _curves(parts: Sequence[tuple[str, list[Row]]], unit: str) -> list[Chart]:
    names = dict.fromkeys(key for _, rows in parts for row in rows for key in row if key not in COUNTERS)
    charts = []
    for name in sorted(names, key=lambda name: name.startswith(_LAST)):  # stable: keeps the order of the rows
        chart = _chart(name, f"{unit} seen")
        for label, rows in parts:
            having = [row for row in rows if name in row]
            if having:
                _add(chart, label, [row["images_seen"] for row in having], [row[name] for row in having])
        charts.append(chart)
    return charts


def _horizons(runs: Sequence[tuple[str, Run]], floor: bool) -> list[Chart]:
    """The metrics of sequences at each frame after the start."""
    charts: dict[str, Chart] = {}
    for label, run in runs:
        for figure in run.evaluation.figures if run.evaluation else []:
            lines = {label: figure.by_horizon, "floor": figure.floor_by_horizon}
            for name, values in lines.items():
                if values and (floor or name == label):
                    title = f"{figure.name} by horizon"
                    chart = charts.setdefault(title, _chart(title, "frames after the start"))
                    _add(chart, name, list(range(1, len(values) + 1)), list(values))
    return list(charts.values())


def _chart(name: str, x: str) -> Chart:
    return {"name": name, "x": x, "traces": [], "text": []}


def _add(chart: Chart, name: str, x: list[Any], y: list[Any]) -> None:
    """Adds a curve with at most `POINTS` of these points, and a description of all of them."""
    step = -(-len(x) // POINTS)
    marker = {"maxdisplayed": _MARKED if len(x) > _DENSE else 0}  # 0: all
    curve = {"type": "scatter", "name": name, "x": x[::step], "y": y[::step], "mode": "lines+markers", "marker": marker}
    chart["traces"].append(curve)
    chart["text"].append(f"{name}: {_describe(y)}")


def _describe(values: list[float | None]) -> str:
    """A curve in words: `first 1.23, last 0.45, between 0.4 and 1.3`."""
    if len(values) == 1:
        return _number(values[0])
    ends = f"first {_number(values[0])}, last {_number(values[-1])}"
    finite = [value for value in values if _is_finite(value)]
    if len(values) == 2 or not finite:
        return ends
    return f"{ends}, between {shown(min(finite))} and {shown(max(finite))}"


def _number(value: float | None) -> str:
    return shown(value) if _is_finite(value) else "not finite"


def _is_finite(value: float | None) -> TypeGuard[float]:
    return value is not None and math.isfinite(value)
