"""A CSV table of a run's metrics.

Lightning's CSVLogger does not serve: when a run resumes, it deletes the rows that are already in its file.
"""

import csv
import io
import logging
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers.logger import Logger
from pytorch_lightning.utilities import rank_zero_only

from genimg.common.files import atomic_write
from genimg.common.reading import read_json_lines
from genimg.common.run_folder import RunFolder

log = logging.getLogger(__name__)


class CsvTable(Logger):
    """Writes RUN/metrics.csv from RUN/metrics.jsonl at every validation and at the end.

    Args:
        run_dir: the run folder.
    """

    name = "csv"  # pyright: ignore[reportAssignmentType]
    version = ""  # pyright: ignore[reportAssignmentType]

    def __init__(self, run_dir: str) -> None:
        super().__init__()
        self.run = RunFolder(Path(run_dir))

    def log_hyperparams(self, *arguments: Any, **keywords: Any) -> None:
        """Does nothing: config.yaml contains the hyperparameters."""

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        if any(name.startswith("val/") for name in metrics):
            self.write()

    @rank_zero_only
    def finalize(self, status: str) -> None:
        try:
            self.write()
        except (OSError, ValueError) as error:  # a full disk, or a run that ended before its first row
            log.warning("metrics.csv could not be written: %s", error)

    def write(self) -> None:
        """Writes the table, with a column for every metric of any row, in order of appearance."""
        rows = [line.row for line in read_json_lines(self.run.metrics) if line.row is not None]
        text = io.StringIO()
        table = csv.DictWriter(text, list(dict.fromkeys(name for row in rows for name in row)), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
        with atomic_write(self.run.metrics.with_suffix(".csv")) as file:
            file.write(text.getvalue().encode())
