"""Curves for plotly: a chart a figure, over the images or clips seen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from genimg.report.run import Row, Run

Chart = dict[str, Any]  # name, x (what the axis shows), traces, legend

POINTS = 1000  # of a curve, at most: more than a screen has pixels for
_DENSE = 60  # points, over which a curve is marked at some of them only
_MARKED = 15
#: What a row tells beside its figures.
COUNTERS = ("images_seen", "seconds", "stage", "n")
_LAST = ("lr", "lr_1", "images_per_second")  # about the run, not about its pictures


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
    ordered = sorted(names, key=lambda name: name in _LAST)  # stable: else as they came
    return [{"name": name, "x": f"{counted} seen", "traces": _traces(name, parts)} for name in ordered]


def _traces(name: str, parts: Sequence[tuple[str, list[Row]]]) -> list[dict[str, Any]]:
    traces = []
    for label, rows in parts:
        having = [row for row in rows if name in row]
        if having:
            shown = having[:: -(-len(having) // POINTS)]
            traces.append(_trace(label, [row["images_seen"] for row in shown], [row[name] for row in shown]))
    return traces


def _horizons(runs: Sequence[tuple[str, Run]], floor: bool) -> list[Chart]:
    """The figures of sequences, frame by frame after the start."""
    charts: dict[str, Chart] = {}
    for label, run in runs:
        for figure in run.evaluation.get("figures", []):
            lines = {label: figure.get("by_horizon"), "start held still": figure.get("floor_by_horizon")}
            for name, values in lines.items():
                if values and (floor or name == label):
                    title = f"{figure['name']} by horizon"
                    chart = charts.setdefault(title, {"name": title, "x": "frames after the start", "traces": []})
                    chart["traces"].append(_trace(name, list(range(1, len(values) + 1)), values))
    return list(charts.values())


def _trace(name: str, x: list[Any], y: list[Any]) -> dict[str, Any]:
    marker = {"maxdisplayed": _MARKED if len(x) > _DENSE else 0}  # 0: all
    return {"type": "scatter", "name": name, "x": x, "y": y, "mode": "lines+markers", "marker": marker}
