"""The run folder: `last` is the newest run with a checkpoint, and a name finds its run below outputs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from genimg.errors import UserError
from genimg.runs import RunFolder, find, runs


def _run(path: Path, age: int, checkpoint: bool = True) -> RunFolder:
    run = RunFolder(path)
    run.checkpoints.mkdir(parents=True)
    run.config.write_text("task: train\n")
    os.utime(run.config, (1_000_000 - age, 1_000_000 - age))
    if checkpoint:
        run.last.write_bytes(b"")
    return run


def test_last_is_the_newest_run_with_a_checkpoint(tmp_path: Path) -> None:
    _run(tmp_path / "2026-01-01" / "10-00-00-gan-digits", age=300)
    newer = _run(tmp_path / "2026-01-02" / "10-00-00-sweep" / "0-model=gan", age=200)
    _run(tmp_path / "2026-01-03" / "10-00-00-vae-digits", age=100, checkpoint=False)
    assert find("last", tmp_path) == newer
    assert len(runs(tmp_path)) == 3


def test_a_run_is_found_by_path_and_by_name(tmp_path: Path) -> None:
    run = _run(tmp_path / "2026-01-01" / "10-00-00-gan-digits", age=0)
    for name in (str(run.path), f"{run.path}/", "2026-01-01/10-00-00-gan-digits", "10-00-00-gan-digits"):
        assert find(name, tmp_path) == run
    assert find(str(run.last), tmp_path) == run.last


def test_what_is_no_run_is_an_error_that_says_so(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    with pytest.raises(UserError, match=r"no config\.yaml"):
        find(str(tmp_path / "pictures"), tmp_path)
    with pytest.raises(UserError, match="resume: got last"):
        find("last", tmp_path, key="resume")
    with pytest.raises(UserError, match=r"run: got nowhere"):
        find("nowhere*", tmp_path / "none")
