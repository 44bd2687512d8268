"""`task=report`: write the page of a run, RUN/report.html."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from genimg.checkpoints.read import load_checkpoint
from genimg.common.errors import UserError, in_a_line
from genimg.common.files import report_write_errors
from genimg.common.run_folder import RunFolder, run_at
from genimg.report import pages
from genimg.report.run import read

log = logging.getLogger(__name__)


def run(config: dict[str, Any]) -> int:
    """Writes the page that configs/report.yaml describes. Returns the exit code."""
    found = run_at(config["run"])
    if isinstance(found, Path):
        raise UserError("run", found, "a run folder: a checkpoint has no metrics over time", hint="run=last")
    with report_write_errors("run", found.path, "a run folder"):
        log.info("report    %s", write_report(found))
    return 0


def leave_report(folder: RunFolder) -> None:
    """Writes the report at the end of another task. Logs a warning if it fails."""
    try:
        log.info("report    %s", write_report(folder))
    except (OSError, UserError) as error:
        log.warning("no report: %s", error)


def write_report(folder: RunFolder) -> Path:
    """Writes RUN/report.html from the present content of the run folder. Returns its path."""
    return pages.report(read(folder), versions(folder), folder.report)


def versions(folder: RunFolder) -> dict[str, str]:
    """The versions of packages in the last or best checkpoint of the run; empty without a checkpoint."""
    for file in (folder.last, folder.best):
        try:
            if file.is_file():
                return dict(load_checkpoint(file)["versions"])
        except (UserError, KeyError, TypeError, ValueError) as error:
            log.warning("%s has no versions: %s", file, in_a_line(str(error)))
    return {}
