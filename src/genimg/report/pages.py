"""The pages of a run and of a comparison. All content is escaped: names and files may be untrusted."""

from __future__ import annotations

import base64
import gzip
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from genimg.common.html import data_uri, write_page
from genimg.common.quoting import doubled, word
from genimg.common.sweep_table import Row
from genimg.evaluation.figure import shown
from genimg.report import charts, settings, table
from genimg.report.run import Run

_MIME = {".png": "image/png", ".gif": "image/gif"}
Image = dict[str, Any]  # image (a data URI) and alt; images_seen of a sheet drawn during training


def report(run: Run, versions: dict[str, str], path: Path) -> Path:
    """Writes the page of one run to `path`.

    Args:
        versions: of the packages it was trained with.
    """
    return _write(
        path,
        "report.html",
        run=run,
        versions=versions,
        sheets=_sheets(run),
        images=[{"title": title} | _final_image(run, title, file) for title, file in run.images().items()],
        charts=charts.of_run(run),
        changes=settings.changes(run),
        config=OmegaConf.to_yaml(run.config),
        commands=_commands(run),
    )


def comparison(
    runs: Sequence[Run], path: Path, unread: Mapping[str, str] | None = None, sweep: Sequence[Row] = ()
) -> Path:
    """Writes the page that compares runs to `path`.

    Args:
        unread: {folder: reason} of runs that could not be read.
        sweep: the table of the sweep that the runs belong to.
    """
    names = _unique_names(runs)
    named = list(zip(names, runs, strict=True))
    sheets = [_sheets(run) for run in runs]
    return _write(
        path,
        "comparison.html",
        runs=[{"name": name, "run": run, "sheet": _last_sheet(run)} for name, run in named],
        failed=_failed(named) | dict(unread or {}),
        sheets=sheets,
        unit=charts.units(runs),
        times=sorted({sheet["images_seen"] for one in sheets for sheet in one}),
        columns=table.columns(runs),
        charts=charts.of_runs(named),
        differences=settings.between(runs),
        sweep=sweep,
        repeats=any(row.seeds is not None for row in sweep),
    )


def _sheets(run: Run) -> list[Image]:
    """The sheets drawn during training, in order."""
    return [_sheet(run, seen, file) for seen, file in run.sheets]


def _sheet(run: Run, images_seen: int, file: Path) -> Image:
    samples = run.group("callbacks").get("samples")
    key = "num_clips" if run.unit == "clips" else "num_images"
    count = samples.get(key) if isinstance(samples, dict) else None
    alt = f"{_samples(run, count)} at {images_seen:,} {run.unit} seen"
    return {"images_seen": images_seen, "image": _embed(file), "alt": alt}


def _final_image(run: Run, title: str, file: Path) -> Image:
    if title in ("Samples", "Animations"):
        drawn = [*run.folder.final.glob("images/*.png"), *run.folder.final.glob("sequences/*.gif")]
        return {"image": _embed(file), "alt": f"{_samples(run, len(drawn))} at the end of training"}
    size = _size(run)
    return {"image": _embed(file), "alt": f"{title}, {size} each" if size else title}


def _last_sheet(run: Run) -> Image | None:
    """The samples at the end of training, or the last sheet if the run did not reach its end."""
    images = run.images()
    for title in ("Animations", "Samples"):
        if title in images:
            return _final_image(run, title, images[title])
    return _sheet(run, *run.sheets[-1]) if run.sheets else None


def _samples(run: Run, count: object) -> str:
    """`64 samples of 32 x 32`, without the values that are not known."""
    number = f"{count:,} " if isinstance(count, int) and count > 0 else ""
    noun, size = "clips" if run.unit == "clips" else "samples", _size(run)
    return f"{number}{noun}{f' of {size}' if size else ''}"


def _size(run: Run) -> str:
    """`32 x 32`, height by width; empty if it is not known."""
    size = run.group("data").get("image_size")
    sides = size if isinstance(size, list) else [size, size]
    return " x ".join(map(str, sides)) if all(isinstance(side, int) for side in sides) else ""


def _failed(runs: Iterable[tuple[str, Run]]) -> dict[str, str]:
    """{name: reason} of the runs without a checkpoint, or with an error at the end of the log."""
    found = {}
    for name, run in runs:
        reasons = [] if run.folder.has_checkpoint() else ["no checkpoint"]
        if reasons or run.error:
            found[name] = "; ".join([*reasons, *filter(None, [run.error])])
    return found


def _write(path: Path, template: str, **content: Any) -> Path:
    filters = {"shown": lambda value: "" if value is None else shown(value)}
    return write_page(path, "genimg.report", template, filters, plotly=_plotly, **content)


def _plotly() -> str:
    """The library that draws the charts: gzip in base64."""
    code = files("plotly").joinpath("package_data/plotly.min.js").read_bytes()
    return base64.b64encode(gzip.compress(code, mtime=0)).decode()


def _embed(path: Path) -> str:
    return data_uri(path.read_bytes(), _MIME[path.suffix])


def _commands(run: Run) -> dict[str, str]:
    run_word, resume = (word(key, run.folder.path) for key in ("run", "resume"))
    return {
        "Repeat the run": "\n".join(run.commands),
        "Resume": " ".join(["genimg-train", resume, *_larger_budget(run)]),
        "Sample": f"genimg sample {run_word} num_images=64",
        "Evaluate": f"genimg evaluate {run_word}",
        "Update this page": f"genimg report {run_word}",
    }


def _larger_budget(run: Run) -> list[str]:
    """Twice the budget for a run that has reached its end: it cannot resume without a larger one."""
    return doubled(run.group("budget")) if run.folder.final.is_dir() else []


def _unique_names(runs: Sequence[Run]) -> list[str]:
    """The folder names of the runs; the entire path if two are equal."""
    names = [run.name for run in runs]
    return [name if names.count(name) == 1 else str(run.folder.path) for name, run in zip(names, runs, strict=True)]
