"""Files that appear whole or not at all."""

import errno
import fcntl
import os
from pathlib import Path

import pytest

from genimg.common.errors import UserError
from genimg.common.files import append_text, hold_lock, remove_unfinished, report_write_errors


def test_what_a_kill_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    for name in (".last.pt.123.tmp", "last.pt", ".hidden", "notes.tmp", ".mine.tmp"):
        (tmp_path / name).touch()
    remove_unfinished(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"last.pt", ".hidden", "notes.tmp", ".mine.tmp"}


def test_a_line_that_does_not_fit_leaves_no_part_of_itself(tmp_path: Path) -> None:
    """In a process of its own, whose files may grow to 64 bytes only: as a disk that fills up in the middle."""
    path = tmp_path / "rows"
    append_text(path, "x" * 40 + "\n")
    child = os.fork()
    if child == 0:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64))
        try:
            append_text(path, "y" * 40 + "\n")
        except OSError:
            os._exit(0)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert path.read_text() == "x" * 40 + "\n"
    append_text(path, "z\n")
    assert path.read_text().endswith("x\nz\n")


def test_what_cannot_be_written_is_one_message(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(UserError, match=r"out: got .*below\n  expected: a page that can be written \(Not a directory\)"),
        report_write_errors("out", tmp_path / "file" / "below", "a page"),
    ):
        (tmp_path / "file" / "below").touch()
    with pytest.raises(UserError, match="the writer's own words"), report_write_errors("out", tmp_path):
        raise OSError("the writer's own words")  # as a library raises it, without a number


def test_a_folder_is_held_by_one_and_free_after_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lock = tmp_path / ".lock"
    with (
        hold_lock(lock, "resume"),
        pytest.raises(UserError, match="no other process"),
        hold_lock(lock, "resume", seconds=0),
    ):
        pass
    with hold_lock(tmp_path / ".lock", "resume", seconds=0) as files:
        assert files
    assert capsys.readouterr().err == ""


def test_one_who_waits_for_a_folder_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lock = tmp_path / ".lock"
    with hold_lock(lock, "resume"), pytest.raises(UserError), hold_lock(lock, "resume", seconds=0.2):
        pass
    assert capsys.readouterr().err == f"waiting   0.2 s at most, for another process in {tmp_path} to end\n"


def test_without_locks_or_a_file_for_one_it_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(file: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    with hold_lock(tmp_path / "no such folder" / ".lock", "resume", seconds=0) as files:
        assert files == []
    monkeypatch.setattr(fcntl, "flock", none)
    with hold_lock(tmp_path / ".lock", "resume", seconds=0) as files:
        assert len(files) == 1
