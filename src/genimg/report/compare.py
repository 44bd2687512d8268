"""`task=compare`: write a page that compares runs."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from genimg.common import sweep_table
from genimg.common.errors import UserError, in_a_line
from genimg.common.files import report_write_errors
from genimg.common.reading import read_bytes
from genimg.common.run_folder import RunFolder, runs_at
from genimg.report import pages
from genimg.report.run import read, readable

log = logging.getLogger(__name__)


def run(config: dict[str, Any]) -> int:
    """Writes the page that configs/compare.yaml describes. Returns the exit code."""
    given = config["runs"]
    folders = runs_at(given)
    sweep = read_sweep_table(Path(given)) if isinstance(given, str) else []
    default = Path(config["outputs"], "comparisons", f"{time.strftime('%Y-%m-%d-%H-%M-%S')}.html")
    path = Path(config["out"]).expanduser() if config["out"] else default
    path = path if path.suffix else path.with_suffix(".html")  # a browser shows a file without a suffix as text
    with report_write_errors("out", path, "a file", "out=FILE.html"):
        log.info("comparison of %d runs: %s", len(folders), write_comparison(folders, path, sweep))
    return 0


def write_comparison(folders: Sequence[RunFolder], path: Path, sweep: Sequence[sweep_table.Row] = ()) -> Path:
    """Writes the page of these runs to `path`. The page lists the runs that cannot be read.

    Args:
        sweep: the table of the sweep that the runs belong to.

    Raises:
        UserError: if no run can be read.
    """
    runs, errors = [], {}
    for folder in folders:
        try:
            runs.append(read(folder))
        except UserError as error:
            errors[folder.path.name] = error
            log.warning("skipped: %s", error)
    if not runs:
        raise next(iter(errors.values()))
    unread = {name: f"{error.got}: {error.hint}" for name, error in errors.items()}
    return pages.comparison(runs, path, unread, sweep)


def read_sweep_table(folder: Path) -> list[sweep_table.Row]:
    """The final table of the sweep in `folder`; empty if it is missing, or damaged, which logs a warning."""
    path = folder / sweep_table.NAME
    if not readable(path, RunFolder(folder)):
        return []
    try:
        return sweep_table.parse(read_bytes(path, sweep_table.MAX_BYTES).decode())
    except ValueError as error:
        log.warning("%s skipped: %.200s", path, in_a_line(str(error)))
        return []
