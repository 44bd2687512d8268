"""What the folder of a sweep tells beside its runs."""

from __future__ import annotations

import logging
from pathlib import Path

from genimg.common import sweep_table
from genimg.common.errors import in_a_line
from genimg.common.run_folder import RunFolder
from genimg.report.run import readable

log = logging.getLogger(__name__)


def read_table(folder: Path) -> list[sweep_table.Row]:
    """The table that the sweep in `folder` ended with; no rows where there is none. A broken one is left out, with a
    warning.
    """
    path = folder / sweep_table.NAME
    if not readable(path, RunFolder(folder)):
        return []
    try:
        return sweep_table.parse(path.read_bytes().decode())
    except ValueError as error:
        log.warning("%s: not as this version writes it, and left out: %.200s", path, in_a_line(str(error)))
        return []
