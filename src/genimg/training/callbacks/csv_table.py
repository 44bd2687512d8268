"""The figures of a run as a table: metrics.jsonl in columns."""

import csv
import io
import json
import logging
from pathlib import Path
from typing import Any

from lightning_fabric.utilities.rank_zero import rank_zero_only
from pytorch_lightning.loggers.logger import Logger

from genimg.common.files import atomic_write
from genimg.common.run_folder import RunFolder

log = logging.getLogger(__name__)


class CsvTable(Logger):
    """Writes RUN/metrics.csv from RUN/metrics.jsonl at every validation and at the end.

    The JSON lines are what a kill spares and a resume continues; the table is made anew from them.

    Args:
        run_dir: the run's folder.
    """

    def __init__(self, run_dir: str) -> None:
        super().__init__()
        self.run = RunFolder(Path(run_dir))

    @property
    def name(self) -> str:
        return "csv"

    @property
    def version(self) -> str:
        return ""

    def log_hyperparams(self, *arguments: Any, **keywords: Any) -> None:
        """None in the table: config.yaml has them."""

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        if any(name.startswith("val/") for name in metrics):
            self.write()

    @rank_zero_only
    def finalize(self, status: str) -> None:
        try:
            self.write()
        except OSError as error:  # a full disk, or a run that ended before its first row
            log.warning("metrics.csv could not be written: %s", error)

    def write(self) -> None:
        """A column for every figure of any row, in the order they came up."""
        lines = self.run.metrics.read_text(encoding="utf-8").splitlines()
        rows = [json.loads(line) for line in lines]
        columns = list(dict.fromkeys(name for row in rows for name in row))
        text = io.StringIO()
        table = csv.DictWriter(text, columns, lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
        with atomic_write(self.run.metrics.with_suffix(".csv")) as file:
            file.write(text.getvalue().encode())
