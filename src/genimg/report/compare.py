"""task=compare: runs side by side as one page."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from genimg.common.errors import UserError
from genimg.common.files import report_write_errors
from genimg.common.run_folder import RunFolder, find_runs
from genimg.common.sweep_table import Row
from genimg.report import pages
from genimg.report.run import read
from genimg.report.sweep import read_table

log = logging.getLogger(__name__)


def run(config: dict[str, Any]) -> int:
    """Writes the page that configs/compare.yaml asks for. Returns the exit code."""
    given = config["runs"]
    folders = find_runs(given, config["outputs"])
    sweep = read_table(Path(given).expanduser()) if isinstance(given, str) else []
    default = Path(config["outputs"], "comparisons", f"{time.strftime('%Y-%m-%d-%H-%M-%S')}.html")
    path = Path(config["out"]).expanduser() if config["out"] else default
    path = path if path.suffix else path.with_suffix(".html")  # without it a browser shows the page as text
    with report_write_errors("out", path, "a file", "out=FILE.html"):
        log.info("comparison of %d runs: %s", len(folders), write_comparison(folders, path, sweep))
    return 0


def write_comparison(folders: Sequence[RunFolder], path: Path, sweep: Sequence[Row] = ()) -> Path:
    """The page of these runs at `path`; it names those that failed, too. UserError where none can be read.

    sweep: the table of the sweep that they are of.
    """
    runs, errors = [], {}
    for folder in folders:
        try:
            runs.append(read(folder))
        except UserError as error:
            errors[folder.path.name] = error
            log.warning("left out: %s", error)
    if not runs:
        raise next(iter(errors.values()))
    unread = {name: f"{error.got}: {error.hint}" for name, error in errors.items()}
    return pages.comparison(runs, path, unread, sweep)
