"""How the processes of one run find each other and end together. Torch-free."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_PARENT, _CONTROL = "GENIMG_PARENT", "GENIMG_CONTROL"


@dataclass(frozen=True)
class Control:
    """A folder through which the workers of a group, its agent and the command know of each other."""

    path: Path

    @classmethod
    def of_environment(cls) -> Control | None:
        """That of the group that this process belongs to; None for a worker alone."""
        given = os.environ.get(_CONTROL)
        return cls(Path(given)) if given else None

    @property
    def environment(self) -> dict[str, str]:
        """What the group's processes find it by."""
        return {_CONTROL: str(self.path)}

    def listen(self) -> None:
        """Called by the worker of a machine's first device, once it is ready to stop the whole group by a signal."""
        _write(self.path / "listener", str(os.getpid()))

    def listener(self) -> int | None:
        """The process to send a signal to; None as long as none listens."""
        return _read(self.path / "listener")

    def ask_to_stop(self, exit_code: int) -> None:
        """Called by the command when it passes a signal on: from now on the group is not started anew."""
        with contextlib.suppress(OSError):  # a full disk: the signal itself is still passed on
            _write(self.path / "asked", str(exit_code))

    def asked_to_stop(self) -> int | None:
        """The exit code of the signal that the command was sent last."""
        return _read(self.path / "asked")

    def end_with(self, exit_code: int) -> None:
        """What the command shall end with, once the group has."""
        _write(self.path / "exit_code", str(exit_code))

    def exit_code(self) -> int | None:
        return _read(self.path / "exit_code")

    def speaks(self, attempt: int) -> bool:
        """Whether this process is the first of the group to fail; the others fail because it has.

        attempt: 0, or how often the group was started anew.
        """
        try:
            (self.path / f"failed-{attempt}").touch(exist_ok=False)
        except FileExistsError:
            return False
        return True


def _write(path: Path, text: str) -> None:
    part = path.with_name(f"{path.name}.{os.getpid()}")
    part.write_text(text)
    os.replace(part, path)


def _read(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except FileNotFoundError:
        return None


@contextlib.contextmanager
def interrupts_held_back() -> Iterator[None]:
    """A process started in here hears of Ctrl-C once it calls `hear_interrupts`: Python's start has but a traceback."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def hear_interrupts() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def as_parent() -> dict[str, str]:
    """The environment by which a child knows this process as its `parent`."""
    return {_PARENT: str(os.getpid())}


def parent() -> int | None:
    """The process that started this one `as_parent`."""
    given = os.environ.get(_PARENT)
    return int(given) if given else None


def end_with_parent(number: int, started_by: int | None = None) -> None:
    """On Linux: signal `number` to this process when its parent dies, however it does: nothing is left behind alone.

    started_by: the parent, where it may have died already.
    """
    if not sys.platform.startswith("linux"):
        return
    set_parent_death_signal = 1  # PR_SET_PDEATHSIG of prctl(2)
    ctypes.CDLL(None).prctl(set_parent_death_signal, number)
    if started_by is not None and os.getppid() != started_by:  # it died before prctl took hold
        os.kill(os.getpid(), number)
