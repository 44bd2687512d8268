"""Settings laid beside each other: of a run and its defaults, of several runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from genimg.common.differences import ABSENT, differences, shown
from genimg.report.run import Run

_PLACES = ("run_dir", "outputs", "resume", "allow_changes")  # keys that say how a run lies there, not what it is


def changes(run: Run) -> list[tuple[str, str, str]] | None:
    """(key, default, value) of every setting of the run that is not its model's and its data's default.

    None where the run does not tell its defaults.
    """
    if run.defaults is None:
        return None
    found = differences(run.defaults, run.config)
    return [(key, shown(default), shown(value)) for key, default, value in found if not _is_place(key)]


def between(runs: Sequence[Run]) -> dict[str, list[str]]:
    """{key: value of each run} of the settings that are not the same in all."""
    flat = [_flat(run.config) for run in runs]
    keys = dict.fromkeys(key for one in flat for key in one if not _copied(key, one))
    rows = {key: [shown(one.get(key, ABSENT)) for one in flat] for key in keys if not _is_place(key)}
    return {key: values for key, values in rows.items() if len(set(values)) > 1}


def _is_place(key: str) -> bool:
    return key.split(".")[0] in _PLACES or key.rpartition(".")[2] == "download"


def _copied(key: str, flat: dict[str, Any]) -> bool:
    """Whether it follows another key: data.seed, where there is seed; model.generator.width, where there is
    model.width; or the run's folder.
    """
    group, *parts = key.split(".")
    if not parts:
        return False
    above = [parts[-1]] if len(parts) == 1 else [f"{group}.{parts[-1]}", "run_dir"]
    return flat[key] in [flat[other] for other in above if other in flat]


def _flat(node: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in node.items():
        key = f"{prefix}{name}"
        found |= _flat(value, f"{key}.") if isinstance(value, dict) else {key: value}
    return found
