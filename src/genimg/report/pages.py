"""From what runs tell to pages. Everything shown is escaped: names and files may be a stranger's."""

from __future__ import annotations

import base64
import gzip
import math
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from genimg.evaluation.figure import shown
from genimg.html import data_uri, write_page
from genimg.report import charts, settings
from genimg.report.run import Run
from genimg.words import word

_MIME = {".png": "image/png", ".gif": "image/gif"}
#: The validation figures whose better direction is known; those of an evaluation tell it themselves.
_BETTER = {"elbo": "higher", "bits_per_dim": "lower", "quality": "lower"}


def report(run: Run, versions: dict[str, str], path: Path) -> Path:
    """Writes the page of one run to `path`. versions: of the packages it was trained with."""
    return _write(
        path,
        "report.html",
        run=run,
        versions=versions,
        moments=_moments(run),
        pictures={title: _embedded(file) for title, file in run.pictures().items()},
        charts=charts.of_run(run),
        changes=settings.changes(run),
        config=OmegaConf.to_yaml(run.config),
        commands=_commands(run),
    )


def comparison(runs: Sequence[Run], path: Path, unread: Mapping[str, str] | None = None) -> Path:
    """Writes the page that lays runs side by side to `path`.

    unread: {folder: why} of runs that are to be named only.
    """
    names = _told_apart(runs)
    moments = [_moments(run) for run in runs]
    return _write(
        path,
        "comparison.html",
        runs=[
            {"name": name, "run": run, "sheet": _sheet(run), "n": _compared(run)}
            for name, run in zip(names, runs, strict=True)
        ],
        failed=_failed(zip(names, runs, strict=True)) | dict(unread or {}),
        moments=moments,
        times=sorted({moment["images_seen"] for one in moments for moment in one}),
        columns=_columns(runs),
        charts=charts.of_runs(list(zip(names, runs, strict=True))),
        differences=settings.between(runs),
    )


def _moments(run: Run) -> list[dict[str, Any]]:
    """The sheets drawn on the way, in order."""
    return [{"images_seen": seen, "picture": _embedded(file)} for seen, file in run.moments]


def _sheet(run: Run) -> str | None:
    """Its samples as they were at the end, or as they were last where it did not come to one."""
    pictures, moments = run.pictures(), run.moments
    found = pictures.get("Animations") or pictures.get("Samples") or (moments[-1][1] if moments else None)
    return None if found is None else _embedded(found)


def _compared(run: Run) -> int | None:
    """From how many pictures or clips its samples were measured: the test split may have fewer than were asked for."""
    return next((figure["n"] for figure in run.evaluation.get("figures", []) if figure["group"] != "cost"), None)


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
        "go on": f"genimg-train {resume}",
        "sample from it": f"genimg sample {run_word} num_images=64",
        "measure it": f"genimg evaluate {run_word}",
        "make this page again": f"genimg report {run_word}",
    }


def _told_apart(runs: Sequence[Run]) -> list[str]:
    """Names of the runs: their folders', with the folder above where two are alike."""
    names = [run.name for run in runs]
    return [name if names.count(name) == 1 else str(run.folder.path) for name, run in zip(names, runs, strict=True)]


def _columns(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """The table's columns: `name`, a value for each run (None where it has none), and the index of the best."""
    columns: dict[str, dict[int, float]] = {}
    better: dict[str, str] = {}
    grounds: dict[str, set[str]] = {}  # what a column's figures were measured on: they compare where it is one
    for index, run in enumerate(runs):
        columns.setdefault("images seen", {})[index] = run.images_seen
        columns.setdefault("seconds", {})[index] = run.seconds
        # the last of each figure: validation and quality write rows of their own
        last = {key: value for row in run.rows if row["stage"] == "val" for key, value in row.items()}
        for key, value in last.items():
            if key not in ("images_seen", "seconds", "stage"):
                columns.setdefault(f"val {key}", {})[index] = value
                better[f"val {key}"] = _BETTER.get(key, "")
                data = run.config.get("data") or {}
                seen = (data.get("name"), data.get("image_size"), run.config.get("budget"))  # how many follows from it
                grounds.setdefault(f"val {key}", set()).add(repr(seen))
        for figure in run.evaluation.get("figures", []):
            if figure["group"] != "cost" or figure["name"].startswith("parameters"):
                columns.setdefault(figure["name"], {})[index] = figure["value"]
                better[figure["name"]] = figure["better"]
                known, data = run.evaluation["extractor"]["digest"], run.evaluation.get("data")
                grounds.setdefault(figure["name"], set()).add(repr((known, data, figure["n"])))
    return [
        {
            "name": name,
            "values": [values.get(index) for index in range(len(runs))],
            "better": better.get(name, ""),
            "best": _best(values, better.get(name, "")) if len(grounds.get(name, ())) == 1 else [],
        }
        for name, values in columns.items()
    ]


def _best(values: dict[int, float], better: str) -> list[int]:
    """The runs with the best value; none where no way is better, or where there is nothing to compare."""
    finite = {index: value for index, value in values.items() if value is not None and math.isfinite(value)}
    if len(finite) < 2 or not better:
        return []
    best = max(finite.values()) if better == "higher" else min(finite.values())
    return [index for index, value in finite.items() if value == best]
