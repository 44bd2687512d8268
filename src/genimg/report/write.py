"""task=report: a run as one page, RUN/report.html."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from genimg.checkpoints.read import load_checkpoint
from genimg.common.errors import UserError, in_a_line
from genimg.common.files import report_write_errors
from genimg.common.run_folder import RunFolder, find_run
from genimg.report import pages
from genimg.report.run import read

log = logging.getLogger(__name__)


def run(config: dict[str, Any]) -> int:
    """Writes the page that configs/report.yaml asks for. Returns the exit code."""
    found = find_run(config["run"], config["outputs"])
    if isinstance(found, Path):
        raise UserError("run", found, "a run folder: a checkpoint alone has no curves", hint="run=last")
    with report_write_errors("run", found.path, "a run folder"):
        log.info("report    %s", write_report(found))
    return 0


def leave_report(folder: RunFolder) -> None:
    """`write_report` at the end of another task, which has not failed where only the page has."""
    try:
        log.info("report    %s", write_report(folder))
    except (OSError, UserError) as error:
        log.warning("no report: %s", error)


def write_report(folder: RunFolder) -> Path:
    """RUN/report.html, from what lies in the run's folder now."""
    return pages.report(read(folder), versions(folder), folder.report)


def versions(folder: RunFolder) -> dict[str, str]:
    """Of the packages that the run was trained with, by its last checkpoint or its best; none where neither tells."""
    for file in (folder.last, folder.best):
        try:
            if file.is_file():
                return dict(load_checkpoint(file)["versions"])
        except (UserError, KeyError, TypeError, ValueError) as error:
            log.warning("%s does not tell its versions: %s", file, in_a_line(str(error)))
    return {}
