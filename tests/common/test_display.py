"""Protected streams swallow every error of their descriptor and every character that the encoding lacks."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

PRINT = """
import os, sys
from genimg.common.display import protect_standard_streams
protect_standard_streams()
assert all(os.get_inheritable(number) for number in range(3))
opened = os.open(__import__("tempfile").gettempdir(), os.O_RDONLY)
assert opened > 2, "a file does not get the number of a closed descriptor"
for stream in (sys.stdout, sys.stderr):
    print("a line \\u2026 \\udcff" * 1000, file=stream, flush=True)
    stream.isatty()
"""


@pytest.mark.parametrize("redirection", ["", ">/dev/full 2>&1", ">&- 2>&- <&-", "2>&1 | true", ">&-", "2>&-", "<&-"])
def test_printing_never_raises(redirection: str) -> None:
    given = {**os.environ, "PYTHONIOENCODING": "ascii"}
    script = f'"$0" -c "$1" {redirection}; exit ${{PIPESTATUS[0]}}'
    ran = subprocess.run(["bash", "-c", script, sys.executable, PRINT], env=given, capture_output=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert b"Traceback" not in ran.stderr and b"ignored" not in ran.stderr


def test_a_missing_character_is_an_escape() -> None:
    given = {**os.environ, "PYTHONIOENCODING": "ascii"}
    ran = subprocess.run([sys.executable, "-c", PRINT], env=given, capture_output=True, check=True)
    assert ran.stdout.startswith(b"a line \\u2026 \\udcffa line")


def test_streams_of_a_caller_stay(capsys: pytest.CaptureFixture[str]) -> None:
    from genimg.common.display import protect_standard_streams

    before = sys.stdout, sys.stderr
    protect_standard_streams()
    assert (sys.stdout, sys.stderr) == before


def test_a_slow_reader_of_a_non_blocking_pipe_gets_everything() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    process = subprocess.Popen(
        [sys.executable, "-c", PRINT.replace("1000", "100000")], stdout=writer, stderr=subprocess.DEVNULL
    )
    os.close(writer)
    with open(reader, "rb") as file:
        assert len(file.read()) == len("a line … ".encode() + b"\\udcff") * 100_000 + 1
    assert process.wait() == 0


FROZEN = """
import signal, sys
from genimg.common import display
display.PATIENCE = 0.2
display.protect_standard_streams()
for number in range(2000):
    print("x" * 97, number, flush=True)
"""


def test_a_frozen_reader_stops_nobody() -> None:
    """The far side of a pipe and of a terminal keeps them open and reads nothing, as an SSH client without network."""
    for far, near in (os.pipe(), os.openpty()):
        process = subprocess.Popen([sys.executable, "-c", FROZEN], stdout=near)
        assert process.wait(30) == 0
        os.close(near)
        with open(far, "rb", buffering=0) as file:
            assert file.read(99).startswith(b"x" * 97 + b" 0"), "what fits is there"
