"""The CSV table is complete or unchanged, and never makes a run fail."""

import os
from pathlib import Path

import pytest

from genimg.training.callbacks.csv_table import CsvTable


def test_a_run_that_ends_before_its_first_row_has_no_table(tmp_path: Path) -> None:
    CsvTable(str(tmp_path)).finalize("failed")
    assert not (tmp_path / "metrics.csv").exists()


def test_a_full_disk_keeps_the_existing_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
