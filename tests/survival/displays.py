"""Terminals, pipes and files that cannot show what a run prints."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import NamedTuple

from tests.survival.harness import Killed


class Display(NamedTuple):
    """A way to start the command.

    script: what bash runs; `"$@"` is the command.
    environment: variables beside those of this process.
    """

    script: str
    environment: tuple[tuple[str, str], ...] = ()

    def start(self, run: Killed, *more: str) -> subprocess.Popen[str]:
        """Starts `run`, or only `more` if that resumes it."""
        prefix = ("bash", "-c", self.script, "bash")
        return run.start(*more, prefix=prefix, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                         environment=dict(self.environment))  # fmt: skip


def start_in_a_pipeline(run: Killed, *more: str) -> tuple[subprocess.Popen[str], subprocess.Popen[bytes]]:
    """Starts `run 2>&1 | tee log` as a process group, like an interactive shell. Returns both processes."""
    run.folder.mkdir(parents=True, exist_ok=True)
    tee = subprocess.Popen(
        ["tee", "log"], cwd=run.folder, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, process_group=0
    )
    assert tee.stdin is not None
    with tee.stdin:
        return run.start(*more, stdout=tee.stdin.fileno(), process_group=tee.pid), tee


def start_in_a_terminal(run: Killed, *more: str, ignored: bool = False) -> tuple[subprocess.Popen[str], int]:
    """Starts a run in a terminal. Returns its process and the descriptor of the terminal's other side.

    Closing that descriptor sends SIGHUP and makes every write an error. ignored: whether SIGHUP is, as with nohup.
    """
    ours, theirs = os.openpty()
    try:
        return run.start(*more, prefix=(sys.executable, "-c", _LEAD_SESSION, str(int(ignored))), stdin=theirs,
                         stdout=theirs, start_new_session=True), ours  # fmt: skip
    finally:
        os.close(theirs)


_LEAD_SESSION = """
import fcntl, os, signal, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
if sys.argv[1] == "1":
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
os.execv(sys.argv[2], sys.argv[2:])
"""

_IN_A_TERMINAL = 'script -qec "stty columns %d; $(printf \'%%q \' "$@")" /dev/null'

BROKEN = {
    "a closed pipe": Display('"$@" 2>&1 | head -n 1; exit ${PIPESTATUS[0]}'),
    "a full disk": Display('exec "$@" > /dev/full 2> /dev/full'),
    "closed descriptors": Display('exec "$@" <&- >&- 2>&-'),
    "no standard output": Display('exec "$@" >&-'),
    "ASCII in a terminal": Display(
        _IN_A_TERMINAL % 60, (("LC_ALL", "C"), ("PYTHONUTF8", "0"), ("PYTHONIOENCODING", "ascii"), ("TERM", "xterm"))
    ),
    "a narrow terminal": Display(_IN_A_TERMINAL % 20, (("TERM", "xterm"),)),
    "a dumb terminal": Display(_IN_A_TERMINAL % 80, (("TERM", "dumb"),)),
}
