"""The table of figures: whole or as it was, and never the reason why a run fails."""

import os
from pathlib import Path

import pytest

from genimg.training.callbacks.csv_table import CsvTable


def test_a_run_that_ends_before_its_first_row_has_none(tmp_path: Path) -> None:
    CsvTable(str(tmp_path)).finalize("failed")
    assert not (tmp_path / "metrics.csv").exists()


def test_a_full_disk_keeps_the_table_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"images_seen": 8, "loss": 0.5}\n')
    table = CsvTable(str(tmp_path))
    table.write()
    before = (tmp_path / "metrics.csv").read_text()
    assert before == "images_seen,loss\n8,0.5\n"

    def full(descriptor: int) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    table.finalize("success")
    assert (tmp_path / "metrics.csv").read_text() == before
