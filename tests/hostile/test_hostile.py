"""The law of hostile input: exit code 0 or 2, one message, and nothing outside the run is read, changed or started."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hostile import valid as artefacts
from tests.hostile.cases import FAMILIES, run_case
from tests.hostile.sandbox import preload, run

CASES = 15  # of each family


@pytest.fixture(scope="module")
def valid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("valid")
    artefacts.make(folder)
    preload()
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_a_mutated_input_is_an_error_or_works(family: str, valid: Path, tmp_path: Path) -> None:
    failures = []
    for seed in range(CASES):
        words, outcome, broken = run_case(family, seed, valid, tmp_path / str(seed))
        if broken:
            failures.append(f"{family} {seed}: {broken}\n  genimg {' '.join(words)!r}\n{outcome.err[-600:]}")
    assert not failures, "\n".join(failures)


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
