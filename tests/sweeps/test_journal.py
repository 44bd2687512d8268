"""The journal of a search may be damaged, or someone else's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution

from genimg.common.errors import UserError
from genimg.sweeps.journal import open_study

SPACE: dict[str, Any] = {"model.lr": FloatDistribution(0.1, 1.0)}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A journal with a finished and a running trial."""
    path = tmp_path / "optuna.journal"
    study = open_study(path, SPACE)
    study.tell(study.ask(SPACE), 3.0)
    study.ask(SPACE)
    return path


def edited(path: Path, key: str, value: Any) -> None:
    """Sets a key in every line that has it."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert any(key in row for row in rows)
    path.write_text("".join(json.dumps({**row, key: value} if key in row else row) + "\n" for row in rows))


def test_a_journal_is_read_as_it_was_written(path: Path) -> None:
    study = open_study(path, SPACE)
    assert [trial.value for trial in study.trials] == [3.0, None]
    study.tell(1, 4.0)
    assert [trial.value for trial in open_study(path, SPACE).trials] == [3.0, 4.0]


@pytest.mark.parametrize(
    "content",
    [b"\xff\0\x01" * 99, b"{", b"[1]\n", b"{}\n", b'{"op_code": 99}\n', b"[" * 100_000 + b"\n", b"x" * 2**21 + b"\n"],
    ids=["binary", "truncated", "list", "no keys", "unknown", "nested", "giant line"],
)
def test_a_damaged_journal_is_one_error_that_names_the_file(content: bytes, path: Path) -> None:
    with open(path, "ab") as file:
        file.write(content)
    before = path.read_bytes()
    with pytest.raises(UserError, match=r"optuna\.journal\n"):
        open_study(path, SPACE)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("op_code", "x"),
        ("study_name", "other"),
        ("directions", [2]),
        ("directions", [1, 1]),
        ("values", ["3"]),
        ("values", [1e400]),
        ("values", [1.0, 2.0]),
        ("values", None),
        ("trial_id", [1]),
        ("param_name", "data.source.cache"),
        ("param_value_internal", "x"),
        ("param_value_internal", 2.0),
        ("distribution", "{"),
    ],
)
def test_an_untrusted_journal_is_one_error(key: str, value: Any, path: Path) -> None:
    edited(path, key, value)
    with pytest.raises(UserError, match=r"optuna\.journal\n"):
        open_study(path, SPACE)


def test_the_parameters_of_a_journal_are_those_of_the_search(path: Path) -> None:
    """They become overrides, so a foreign one could name a class."""
    evil: Any = {"model.generator._target_": CategoricalDistribution(["os.system"])}
    optuna.load_study(study_name="sweep", storage=open_study(path, SPACE)._storage).ask(evil)
    with pytest.raises(UserError, match="trial 2 has other keys"):
        open_study(path, SPACE)
    path.unlink()
    open_study(path, SPACE).enqueue_trial({"model.lr": 1e9})
    with pytest.raises(UserError, match="trial 0"):
        open_study(path, SPACE)


def test_a_lock_of_a_killed_process_is_removed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Optuna waits forever for a link to nothing, which its lock is in a folder with a relative path."""
    monkeypatch.chdir(path.parent)
    lock = Path("optuna.journal.lock")
    lock.symlink_to("sweep/optuna.journal")
    study = open_study(Path("optuna.journal"), SPACE)
    study.tell(1, 4.0)
    assert not lock.is_symlink() and study.trials[1].value == 4.0
