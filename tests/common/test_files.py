"""Atomic writes, locks and checks of files and folders."""

import errno
import fcntl
import os
from pathlib import Path

import pytest

from genimg.common.errors import UserError
from genimg.common.files import (
    append_text,
    atomic_write,
    hold_lock,
    remove_unfinished,
    report_write_errors,
    temporary_name,
)


def test_only_files_of_an_interrupted_write_are_removed(tmp_path: Path) -> None:
    for name in ("last.pt", ".hidden", "notes.tmp", ".mine.tmp", ".last.pt.123.tmp"):
        (tmp_path / name).touch()
    (tmp_path / f".folder.{'0' * 16}.tmp").mkdir()
    before = set(tmp_path.iterdir())
    temporary_name(tmp_path / "last.pt").touch()
    remove_unfinished(tmp_path)
    assert set(tmp_path.iterdir()) == before


def test_no_file_is_written_through_a_link(tmp_path: Path) -> None:
    """Links at the names of another process, of the table and of the lock leave the file outside as it was."""
    outside, folder = tmp_path / "outside", tmp_path / "run"
    outside.write_text("mine")
    folder.mkdir()
    for name in (f".page.{os.getpid()}.tmp", "page", "rows", ".lock"):
        (folder / name).symlink_to(outside)
    with atomic_write(folder / "page") as file:
        file.write(b"new")
    with pytest.raises(OSError, match="symbolic link"):
        append_text(folder / "rows", "new")
    with hold_lock(folder / ".lock", "resume") as files:
        assert files == []
    assert outside.read_text() == "mine"
    assert (folder / "page").read_text() == "new"
    assert not (folder / "page").is_symlink()


def test_a_temporary_file_that_exists_is_not_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "outside").write_text("mine")
    monkeypatch.setattr("secrets.token_hex", lambda count: "guessed")
    (tmp_path / ".page.guessed.tmp").symlink_to(tmp_path / "outside")
    with pytest.raises(FileExistsError), atomic_write(tmp_path / "page"):
        pass
    assert (tmp_path / "outside").read_text() == "mine"


def test_a_line_that_does_not_fit_on_the_disk_is_not_appended_at_all(tmp_path: Path) -> None:
    """In a child process whose files are limited to 64 bytes, like a disk that becomes full."""
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


def test_a_write_error_is_a_user_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(UserError, match=r"out: got .*below\n  expected: a page that can be written \(Not a directory\)"),
        report_write_errors("out", tmp_path / "file" / "below", "a page"),
    ):
        (tmp_path / "file" / "below").touch()
    with pytest.raises(UserError, match="message of a library"), report_write_errors("out", tmp_path):
        raise OSError("message of a library")  # without an errno


def test_a_lock_is_exclusive_and_released_at_the_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
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


def test_waiting_for_a_lock_prints_a_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lock = tmp_path / ".lock"
    with hold_lock(lock, "resume"), pytest.raises(UserError), hold_lock(lock, "resume", seconds=0.2):
        pass
    assert capsys.readouterr().err == f"waiting   up to 0.2 s for another process in {tmp_path} to end\n"


def test_a_file_system_without_locks_is_not_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(file: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    with hold_lock(tmp_path / "no such folder" / ".lock", "resume", seconds=0) as files:
        assert files == []
    monkeypatch.setattr(fcntl, "flock", none)
    with hold_lock(tmp_path / ".lock", "resume", seconds=0) as files:
        assert len(files) == 1
