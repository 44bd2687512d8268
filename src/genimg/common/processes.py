"""Process management on one machine: parent death, delayed Ctrl-C, and the files that a process group shares."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_PARENT, _GROUP = "GENIMG_PARENT", "GENIMG_GROUP"


@dataclass(frozen=True)
class ProcessGroupFiles:
    """A temporary folder through which the workers of one machine, their agent and the command communicate.

    torchrun's agent restarts the group after any exit code but 0, and ends it within seconds after a signal. These
    files carry what must outlive that: the exit code of the run, and the signal that the user sent.
    """

    path: Path

    @classmethod
    def from_environment(cls) -> ProcessGroupFiles | None:
        """Returns the folder of this process's group; None for a process that the command started alone."""
        path = os.environ.get(_GROUP)
        return cls(Path(path)) if path else None

    @property
    def environment(self) -> dict[str, str]:
        """The variables from which `from_environment` finds the folder."""
        return {_GROUP: str(self.path)}

    def set_listener(self) -> None:
        """Declares this process the one that stops the whole group after a signal. Called by local rank 0."""
        _write(self.path / "listener", os.getpid())

    def listener(self) -> int | None:
        """Returns the process id to send signals to; None if no process listens yet."""
        return _read(self.path / "listener")

    def request_stop(self, exit_code: int) -> None:
        """Records that the command received a signal. A group that stops afterwards is not restarted."""
        with contextlib.suppress(OSError):  # full disk: the signal itself is still forwarded
            _write(self.path / "stop", exit_code)

    def requested_stop(self) -> int | None:
        """Returns the exit code of the last signal that the command received."""
        return _read(self.path / "stop")

    def set_exit_code(self, exit_code: int) -> None:
        """Sets the exit code of the command, and so prevents restarts."""
        _write(self.path / "exit_code", exit_code)

    def exit_code(self) -> int | None:
        return _read(self.path / "exit_code")

    def claim_failure(self, attempt: int) -> bool:
        """Returns True for the first process that calls it in an attempt: the others fail because of that one."""
        try:
            (self.path / f"failed-{attempt}").touch(exist_ok=False)
        except FileExistsError:
            return False
        return True


def _write(path: Path, number: int) -> None:
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    temporary.write_text(str(number))
    os.replace(temporary, path)


def _read(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except FileNotFoundError:
        return None


@contextlib.contextmanager
def block_interrupts() -> Iterator[None]:
    """Blocks SIGINT. A process started in this context receives it once it calls `unblock_interrupts`.

    Before that, Python's own start-up would answer Ctrl-C with a traceback.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def unblock_interrupts() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def parent_environment() -> dict[str, str]:
    """The variables from which a child's `parent_pid` knows this process."""
    return {_PARENT: str(os.getpid())}


def parent_pid() -> int | None:
    """Returns the process that started this one with `parent_environment`."""
    given = os.environ.get(_PARENT)
    return int(given) if given else None


def end_with_parent(number: int, parent: int | None = None) -> None:
    """Makes the kernel send signal `number` to this process when its parent dies (Linux only).

    parent: its process id, to notice that it has died already.
    """
    if not sys.platform.startswith("linux"):
        return
    set_parent_death_signal = 1  # PR_SET_PDEATHSIG of prctl(2)
    ctypes.CDLL(None).prctl(set_parent_death_signal, number)
    if parent is not None and os.getppid() != parent:
        os.kill(os.getpid(), number)
