"""Runs without interruption, to which the killed ones are compared."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.survival.harness import MODELS, SMALL, Killed


@pytest.fixture(scope="session")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, int], dict[str, str]]:
    """`straight("gan", 2)`: the digests of an uninterrupted GAN with two processes, run at the first call."""
    known: dict[tuple[str, int], dict[str, str]] = {}

    def given(model: str, processes: int) -> dict[str, str]:
        if (model, processes) not in known:
            run = Killed(tmp_path_factory.mktemp("straight"), words(model, processes))
            code, out = run.finish()
            assert code == 0, out
            known[model, processes] = run.result()
        return known[model, processes]

    return given


@pytest.fixture
def killed(tmp_path: Path) -> Iterator[Callable[..., Killed]]:
    """`killed("gan", 2)`: the same run, not yet started; its processes are killed at the end of the test."""
    run = Killed(tmp_path, [])
    yield lambda model, processes, *more: Killed(tmp_path, words(model, processes, *more))
    run.clean_up()


def words(model: str, processes: int, *more: str) -> list[str]:
    return [*SMALL, *MODELS[model], f"trainer.devices={processes}", *more]
