"""Atomic writes, locks and checks of files and folders."""

import errno
import fcntl
import os
from contextlib import suppress
from pathlib import Path

import pytest

from genimg.common.errors import UserError
from genimg.common.files import append_text, atomic_write, hold_lock, remove_unfinished, report_write_errors


def test_only_files_of_an_interrupted_write_are_removed(tmp_path: Path) -> None:
    with suppress(ZeroDivisionError), atomic_write(tmp_path / "a"):  # what a process that is killed leaves
        (left,) = tmp_path.iterdir()
        raise ZeroDivisionError
    for name in (left.name, "last.pt", ".hidden", "notes.tmp", ".mine.tmp"):
        (tmp_path / name).touch()
    remove_unfinished(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"last.pt", ".hidden", "notes.tmp", ".mine.tmp"}


def test_no_file_is_written_through_a_link(tmp_path: Path) -> None:
    """A folder may be someone else's, with links at the names that a writer would use."""
    secret, folder = tmp_path / "secret", tmp_path / "folder"
    secret.write_text("kept")
    folder.mkdir()
    for name in (f".last.pt.{os.getpid()}.tmp", "last.pt", "previous.tmp", "lock", "metrics.jsonl"):
        (folder / name).symlink_to(secret)
    with atomic_write(folder / "last.pt") as file:
        file.write(b"new")
    with pytest.raises(OSError, match="symbolic links"):
        append_text(folder / "metrics.jsonl", "row\n")
    with hold_lock(folder / "lock", "resume") as lock:
        assert lock == []
    assert secret.read_text() == "kept"
    assert (folder / "last.pt").read_bytes() == b"new" and not (folder / "last.pt").is_symlink()


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
