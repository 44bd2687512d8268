"""optuna.journal, the trials of a search in Optuna's format. It may be untrusted, or damaged."""

from __future__ import annotations

import math
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from genimg.common.errors import UserError, first_line
from genimg.common.reading import MAX_JSON, read_json_lines

_MOST_TRIALS = 10_000
_STALE = 5.0  # seconds after which a lock has no owner: a trial holds it for one write


def open_study(path: Path, space: dict[str, Any]) -> Any:
    """Returns Optuna's study in the journal at `path`, which is created if it does not exist.

    Only the command that holds the folder of the sweep may call it.

    Args:
        space: Optuna's distribution of each key. Trials of other keys or distributions are refused, because their
            parameters become overrides.

    Raises:
        UserError: if the journal is damaged, or is not that of this search.
    """
    import optuna
    from optuna.storages.journal import JournalFileBackend, JournalStorage

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    path = path.absolute()  # Optuna's lock is a link to it
    try:
        if os.path.lexists(path):
            _check_lines(path)
        _remove_stale_lock(path.with_name(f"{path.name}.lock"))
        storage = JournalStorage(JournalFileBackend(str(path)))
        study = optuna.create_study(storage=storage, study_name="sweep", load_if_exists=True)
        if len(storage.get_all_studies()) > 1:
            raise ValueError("it has several studies")
        _check_trials(study, space)
    except Exception as error:  # Optuna raises AssertionError, KeyError and more for a damaged journal
        reason = "a key is missing" if isinstance(error, KeyError) else first_line(error)
        expected = "the journal of this search, as Optuna wrote it"
        raise UserError("sweep.resume", path, expected, f"{reason}; start a new search") from error
    return study


def _check_lines(path: Path) -> None:
    for line in read_json_lines(path):
        if line.row is None:
            raise ValueError(f"line {line.number} is damaged")
        if line.end > MAX_JSON:
            raise ValueError(f"it has more than {MAX_JSON:,} bytes")


def _remove_stale_lock(lock: Path) -> None:
    """Removes a lock that a killed process has left: Optuna waits forever if the lock is a link to nothing."""
    end = time.monotonic() + _STALE
    while os.path.lexists(lock):
        if time.monotonic() > end:
            with suppress(FileNotFoundError):
                lock.unlink()
        time.sleep(0.05)


def _check_trials(study: Any, space: dict[str, Any]) -> None:
    """Raises ValueError for a trial that the search with this space would not have."""
    trials = study.get_trials(deepcopy=False)
    if len(trials) > _MOST_TRIALS:
        raise ValueError(f"it has more than {_MOST_TRIALS:,} trials")
    if study.direction.name != "MINIMIZE":
        raise ValueError("its study maximises")
    for trial in trials:
        drawn = [(space.get(key), trial.distributions[key], value) for key, value in trial.params.items()]
        if any(own != given or not _contains(given, value) for own, given, value in drawn):
            raise ValueError(f"trial {trial.number} has other keys or values than the search")
        values = [*(trial.values or []), *trial.intermediate_values, *trial.intermediate_values.values()]
        numbers = all(isinstance(one, int | float) and math.isfinite(one) for one in values)
        counts = all(isinstance(one, int) for one in trial.user_attrs.values())
        complete = trial.state.name != "COMPLETE" or len(trial.values or []) == 1
        if trial.state.name == "WAITING" or not (numbers and counts and complete):
            raise ValueError(f"trial {trial.number} has an invalid state or value")


def _contains(distribution: Any, value: object) -> bool:
    choices = getattr(distribution, "choices", None)
    if choices is not None:
        return value in choices
    return isinstance(value, int | float) and distribution.low <= value <= distribution.high
