"""The run folder: finding runs, links out of a run, and complete runs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from genimg.common.errors import UserError
from genimg.common.run_folder import RunFolder, find_run, find_runs, list_runs, output_folder


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
    assert find_run("last", tmp_path) == newer
    assert len(list_runs(tmp_path)) == 3


def test_a_run_is_found_by_path_and_by_name(tmp_path: Path) -> None:
    run = _run(tmp_path / "2026-01-01" / "10-00-00-gan-digits", age=0)
    for name in (str(run.path), f"{run.path}/", "2026-01-01/10-00-00-gan-digits", "10-00-00-gan-digits"):
        assert find_run(name, tmp_path) == run
    assert find_run(str(run.last), tmp_path) == run.last


def test_the_message_for_a_path_that_is_not_a_run_says_why(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    with pytest.raises(UserError, match=r"no config\.yaml"):
        find_run(str(tmp_path / "images"), tmp_path)
    with pytest.raises(UserError, match="resume: got last"):
        find_run("last", tmp_path, key="resume")
    with pytest.raises(UserError, match=r"run: got nowhere"):
        find_run("nowhere*", tmp_path / "none")


@pytest.mark.parametrize("place", ["metrics.jsonl", "samples", "checkpoints/best.pt", "samples/deep/sheet.png"])
def test_a_run_with_a_link_out_of_it_is_an_error_for_every_reference(place: str, tmp_path: Path) -> None:
    run, other = (_run(tmp_path / "out" / "2026-01-01" / name, age) for name, age in (("a", 0), ("b", 10)))
    (tmp_path / "secret").mkdir()
    link = run.path / place
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(tmp_path / "secret")
    ways = [
        lambda: find_run("last", tmp_path / "out"),
        lambda: find_run(str(run.path), tmp_path),
        lambda: find_run("a", tmp_path / "out"),
        lambda: find_runs(str(run.path.parent), tmp_path),
        lambda: find_runs([str(other.path), str(run.path)], tmp_path),
    ]
    for way in ways:
        with pytest.raises(UserError, match="secret"):
            way()
    assert find_run(str(other.path), tmp_path) == other


def test_links_inside_a_run_are_followed_and_pipes_are_an_error(tmp_path: Path) -> None:
    run = _run(tmp_path / "run", age=0)
    (run.checkpoints / "best.pt").symlink_to("last.pt")
    assert find_run(str(run.path), tmp_path) == run
    (tmp_path / "link").symlink_to(run.path)  # given by the user
    assert find_run(str(tmp_path / "link"), tmp_path) == RunFolder(tmp_path / "link")
    os.mkfifo(run.metrics)
    with pytest.raises(UserError, match="files and folders"):
        find_run(str(run.path), tmp_path)


def test_output_of_a_checkpoint_file_is_not_written_through_a_link(tmp_path: Path) -> None:
    run = _run(tmp_path / "run", age=0)
    assert output_folder(run.last) == run.path
    assert output_folder(tmp_path / "mine.pt") == tmp_path
    run.samples.symlink_to(tmp_path)
    with pytest.raises(UserError, match="samples"):
        output_folder(run.last)


def test_a_run_is_complete_with_its_final_samples_and_a_newer_report(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.checkpoints.mkdir()
    run.last.touch()
    run.report.touch()  # written when a run was stopped
    assert not run.is_complete()
    run.final.mkdir(parents=True)
    assert run.is_complete()
    os.utime(run.last, ns=(2**62, 2**62))  # training continued
    assert not run.is_complete()
