"""A process that does not outlive the one that started it."""

from __future__ import annotations

import ctypes
import os
import signal
import sys


def end_with_parent(parent: int | None = None) -> None:
    """On Linux: SIGTERM to this process when its parent dies, however it does.

    parent: its process id, where it may have died already.
    """
    if not sys.platform.startswith("linux"):
        return
    set_parent_death_signal = 1  # PR_SET_PDEATHSIG of prctl(2)
    ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGTERM)
    if parent is not None and os.getppid() != parent:  # it died before prctl took hold
        os.kill(os.getpid(), signal.SIGTERM)
