"""The law of hostile input: exit code 0 or 2, one message, and nothing outside the run is read, changed or started."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.hostile import cases
from tests.hostile import valid as artefacts
from tests.hostile.sandbox import preload, run, run_command

CASES = 60  # in CI; `make hostile` runs thousands


@pytest.fixture(scope="module")
def valid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    preload()
    return artefacts.make(tmp_path_factory.mktemp("hostile") / "valid")


@pytest.mark.slow
def test_mutated_inputs_are_errors_or_work() -> None:
    """In a process of its own, because forks of pytest take more time."""
    command = [sys.executable, "-m", "tests.hostile.long", "--cases", str(CASES), "--processes", "2"]
    found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=1200)
    assert found.returncode == 0, found.stdout + found.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "words"),
    [
        *((name, words) for name in ("gan", "rnn") for words in (cases.RESUME, cases.SAMPLE, cases.EVALUATE)),
        ("gan", cases.REPORT),
        ("gan", cases.EXPORT),
        ("projected", cases.LATENTS),
        ("gan", cases.INIT),
        ("sweep", cases.SWEEP),
        ("search", cases.SEARCH),
        ("study", cases.RATE),
        ("images", cases.OF_IMAGES),
        ("clips", cases.OF_CLIPS),
        ("garments", cases.OF_GARMENTS),
    ],
)
def test_the_commands_of_the_cases_work_without_a_mutation(
    name: str, words: list[str], valid: Path, tmp_path: Path
) -> None:
    shutil.copytree(valid / name, tmp_path / "target")
    shutil.copy(valid / "a.json", tmp_path)
    outcome = run_command(words, tmp_path, [tmp_path])
    assert outcome.code == 0, outcome.err


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
