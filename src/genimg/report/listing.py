"""`task=runs`: a table of the runs in a folder. The folders may be untrusted, and no checkpoint is read."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from genimg.common.errors import UserError
from genimg.common.files import is_locked
from genimg.common.monitored import read_best
from genimg.common.run_config import read_config
from genimg.common.run_folder import RunFolder, list_runs
from genimg.common.text import printable_line

_COLUMNS = 160  # width of the table without a terminal


@dataclass(frozen=True)
class ListSettings:
    """The settings of configs/runs.yaml, which describes them."""

    outputs: str
    name: str | None
    tag: str | None


def show(settings: ListSettings) -> None:
    """Prints the table, the newest run last.

    Raises:
        UserError: if no run has the name and the tag.
    """
    runs = [run for run in list_runs(settings.outputs) if settings.name is None or settings.name in str(run.path)]
    runs = [run for run in runs if settings.tag is None or settings.tag in tags(run)]
    if not runs:
        chosen = [f"{key}={value}" for key in ("name", "tag") if (value := getattr(settings, key)) is not None]
        raise UserError("outputs", settings.outputs, f"a folder with a run that has {' and '.join(chosen)}")
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("run", "state", "trained", "metric", "best", "size", "tags"):
        table.add_column(heading, justify="right" if heading in ("best", "size") else "left")
    for run in runs:
        best = read_best(run.best_metric)
        trained = time.strftime("%Y-%m-%d %H:%M", time.localtime(run.config.stat().st_mtime))
        values = ("", "") if best is None else (best.name, f"{best.value:.4g}")
        cells = (
            os.path.relpath(run.path),
            state(run),
            trained,
            *values,
            f"{size(run) / 1e6:,.0f} MB",
            " ".join(tags(run)),
        )
        table.add_row(*(Text(printable_line(cell)) for cell in cells))
    Console(width=None if sys.stdout.isatty() else _COLUMNS).print(table)


def state(run: RunFolder) -> str:
    """`training`; `complete`; `stopped`, which can be resumed; or `empty`, without a checkpoint."""
    if is_locked(run.lock):
        return "training"
    if run.is_complete():
        return "complete"
    return "stopped" if run.has_checkpoint() else "empty"


def size(run: RunFolder) -> int:
    """Bytes of all files; links are not followed."""
    files = (Path(folder, name) for folder, _, names in os.walk(run.path) for name in names)
    return sum(file.lstat().st_size for file in files)


def tags(run: RunFolder) -> list[str]:
    """The tags in the configuration of the run; none if it is damaged."""
    try:
        found = read_config(run.config, "outputs").get("tags")
    except UserError:
        return []
    return [tag for tag in found if isinstance(tag, str)] if isinstance(found, list) else []
