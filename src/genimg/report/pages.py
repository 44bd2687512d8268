"""From what runs tell to pages. Everything shown is escaped: names and files may be a stranger's."""

from __future__ import annotations

import base64
import gzip
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import OmegaConf

from genimg.common.html import data_uri, write_page
from genimg.common.quoting import doubled, word
from genimg.common.sweep_table import Row
from genimg.evaluation.figure import shown
from genimg.report import alt, charts, settings
from genimg.report.run import Run

_MIME = {".png": "image/png", ".gif": "image/gif"}
#: The validation figures whose better direction is known; those of an evaluation tell it themselves.
_BETTER = {"elbo": "higher", "bits_per_dim": "lower", "frechet_random": "lower"}


def report(run: Run, versions: dict[str, str], path: Path) -> Path:
    """Writes the page of one run to `path`. versions: of the packages it was trained with."""
    return _write(
        path,
        "report.html",
        run=run,
        versions=versions,
        moments=_moments(run),
        images=[
            {"title": title, "image": _embedded(file), "alt": alt.of_image(run, title)}
            for title, file in run.images().items()
        ],
        charts=charts.of_run(run),
        changes=settings.changes(run),
        config=OmegaConf.to_yaml(run.config),
        commands=_commands(run),
    )


def comparison(
    runs: Sequence[Run], path: Path, unread: Mapping[str, str] | None = None, sweep: Sequence[Row] = ()
) -> Path:
    """Writes the page that lays runs side by side to `path`.

    unread: {folder: why} of runs that are to be named only. sweep: the table of the sweep that they are of.
    """
    names = _told_apart(runs)
    moments = [_moments(run) for run in runs]
    return _write(
        path,
        "comparison.html",
        runs=[{"name": name, "run": run, "sheet": _sheet(run)} for name, run in zip(names, runs, strict=True)],
        failed=_failed(zip(names, runs, strict=True)) | dict(unread or {}),
        moments=moments,
        counts=charts.counts(runs),
        times=sorted({moment["images_seen"] for one in moments for moment in one}),
        columns=_columns(runs),
        charts=charts.of_runs(list(zip(names, runs, strict=True))),
        differences=settings.between(runs),
        sweep=sweep,
        repeats=any(row.seeds is not None for row in sweep),
    )


def _moments(run: Run) -> list[dict[str, Any]]:
    """The sheets drawn on the way, in order."""
    return [
        {"images_seen": seen, "image": _embedded(file), "alt": alt.of_moment(run, seen)} for seen, file in run.moments
    ]


def _sheet(run: Run) -> dict[str, str] | None:
    """Its samples as they were at the end, or as they were last where it did not come to one."""
    images, moments = run.images(), run.moments
    for title in ("Animations", "Samples"):
        if title in images:
            return {"image": _embedded(images[title]), "alt": alt.of_image(run, title)}
    return {"image": _embedded(moments[-1][1]), "alt": alt.of_moment(run, moments[-1][0])} if moments else None


def _failed(runs: Iterable[tuple[str, Run]]) -> dict[str, str]:
    """{name: why} of the runs that left no checkpoint or ended with an error."""
    found = {}
    for name, run in runs:
        said = [] if run.folder.has_checkpoint() else ["no checkpoint"]
        if said or run.error:
            found[name] = "; ".join([*said, *filter(None, [run.error])])
    return found


def _write(path: Path, template: str, **content: Any) -> Path:
    filters = {"shown": lambda value: "" if value is None else shown(value)}
    return write_page(path, "genimg.report", template, filters, plotly=_plotly, **content)


def _plotly() -> str:
    """The library that draws the charts, as its package brings it: gzip in base64."""
    code = files("plotly").joinpath("package_data/plotly.min.js").read_bytes()
    return base64.b64encode(gzip.compress(code, mtime=0)).decode()


def _embedded(path: Path) -> str:
    return data_uri(path.read_bytes(), _MIME[path.suffix])


def _commands(run: Run) -> dict[str, str]:
    run_word, resume = (word(key, run.folder.path) for key in ("run", "resume"))
    return {
        "repeat it": "\n".join(run.commands),
        "go on": " ".join(["genimg-train", resume, *_longer(run)]),
        "sample from it": f"genimg sample {run_word} num_images=64",
        "measure it": f"genimg evaluate {run_word}",
        "make this page again": f"genimg report {run_word}",
    }


def _longer(run: Run) -> list[str]:
    """What a run that has come to its end goes on with alone: twice the budget."""
    budget = run.config.get("budget")
    return doubled(budget) if run.folder.final.is_dir() and isinstance(budget, dict) else []


def _told_apart(runs: Sequence[Run]) -> list[str]:
    """Names of the runs: their folders', with the folder above where two are alike."""
    names = [run.name for run in runs]
    return [name if names.count(name) == 1 else str(run.folder.path) for name, run in zip(names, runs, strict=True)]


class Cell(NamedTuple):
    """A figure of one run in the comparison's table.

    better: which way is better; empty where neither is, or none is known.
    n: the images or clips it is of; None where nothing tells.
    ground: what else it was measured on. Figures compare where ground and n are the same.
    """

    value: float | None
    better: str = ""
    n: int | None = None
    ground: object = None


def _columns(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """The table's columns: `name`, `notes` on all its figures (which way is better; their n, where it is one), a value
    for each run (None where it has none), the indices of the best, and where it differs the n of each run.
    """
    columns: dict[str, dict[int, Cell]] = {}
    for index, run in enumerate(runs):
        for name, cell in _cells(run):
            columns.setdefault(name, {})[index] = cell
    found = []
    for name, cells in columns.items():
        row = [cells.get(index, Cell(None)) for index in range(len(runs))]
        numbers = {cell.n for cell in cells.values()}
        notes = [next(iter(cells.values())).better, *(f"n {n:,}" for n in numbers if n and len(numbers) == 1)]
        found.append(
            {
                "name": name,
                "notes": list(filter(None, notes)),
                "values": [cell.value for cell in row],
                "best": _best(cells),
                "n": [cell.n for cell in row] if len(numbers) > 1 else [],
            }
        )
    return found


def _cells(run: Run) -> Iterator[tuple[str, Cell]]:
    """The figures of a run, by the names of their columns: what it took, of validation the last, of an evaluation."""
    yield f"{run.counts} seen", Cell(run.images_seen)
    yield "seconds", Cell(run.seconds)
    ground = run.data.get("name"), run.data.get("image_size")
    last = {name: (value, row.get("n")) for row in run.rows if row["stage"] == "val" for name, value in row.items()}
    for name, (value, n) in last.items():
        if name not in charts.COUNTERS:
            yield f"val {name}", Cell(value, _BETTER.get(name, ""), n, ground)
    for figure in run.evaluation.get("figures", []):
        if figure["group"] != "cost" or figure["name"].startswith("parameters"):
            ground = run.evaluation["extractor"]["digest"], run.evaluation.get("data")
            n = None if figure["group"] == "cost" else figure["n"]
            yield figure["name"], Cell(figure["value"], figure["better"], n, ground)


def _best(cells: dict[int, Cell]) -> list[int]:
    """The runs with the best value; none where no way is better, or where they do not compare."""
    finite = {i: cell.value for i, cell in cells.items() if cell.value is not None and math.isfinite(cell.value)}
    first = next(iter(cells.values()))
    same = all(cell[1:] == first[1:] for cell in cells.values())
    if len(finite) < 2 or not first.better or first.n is None or not same:
        return []
    best = max(finite.values()) if first.better == "higher" else min(finite.values())
    return [index for index, value in finite.items() if value == best]
