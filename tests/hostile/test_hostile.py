"""The law of hostile input: exit code 0 or 2, one message, and nothing outside the run is read, changed or started."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.hostile.sandbox import run

CASES = 60  # in CI; `make hostile` runs thousands


@pytest.mark.slow
def test_valid_inputs_work_and_mutated_ones_are_errors_or_work() -> None:
    """In a process of its own: a fork of one that has computed gradients cannot compute any."""
    command = [sys.executable, "-m", "tests.hostile.long", "--cases", str(CASES), "--processes", "2"]
    found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=1200)
    assert found.returncode == 0, found.stdout + found.stderr


def test_the_sandbox_records_a_write_a_connection_and_a_program(tmp_path: Path) -> None:
    import contextlib
    import os
    import socket

    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    outside.mkdir()

    def attack() -> int:
        with contextlib.suppress(OSError):
            (outside / "a").write_text("x")
        with contextlib.suppress(OSError), socket.socket() as connection:
            connection.connect(("127.0.0.1", 9))
        with contextlib.suppress(OSError):
            os.system("true")
        (inside / "b").write_text("x")
        return 0

    outcome = run(attack, tmp_path, [inside])
    assert [line.split(" ")[0] for line in outcome.broken] == ["it", "socket.connect", "os.system"]
