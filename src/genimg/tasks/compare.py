"""task=compare: runs side by side as one page."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

from genimg.errors import UserError
from genimg.report import pages
from genimg.report.run import read
from genimg.runs import find_all

log = logging.getLogger(__name__)


def run(config: dict[str, Any]) -> int:
    """Writes the page that configs/compare.yaml asks for. Returns the exit code."""
    runs = [read(folder) for folder in find_all(config["runs"], config["outputs"])]
    default = Path(config["outputs"], "comparisons", f"{time.strftime('%Y-%m-%d-%H-%M-%S')}.html")
    path = Path(config["out"]).expanduser() if config["out"] else default
    try:
        log.info("comparison of %d runs: %s", len(runs), pages.comparison(runs, path))
    except OSError as error:
        raise UserError("out", path, f"a file that can be written ({error.strerror})", "out=FILE.html") from error
    return 0
