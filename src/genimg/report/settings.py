"""Differences between settings: of a run and its defaults, and of several runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from genimg.common.differences import ABSENT, differences, shown
from genimg.report.run import Run

_LOCATIONS = ("run_dir", "outputs", "resume", "allow_changes")  # keys that do not affect the result of a run


def changes(run: Run) -> list[tuple[str, str, str]] | None:
    """(key, default, value) of every setting that differs from the default of the run's model and data.

    None if the defaults are not available.
    """
    if run.defaults is None:
        return None
    found = differences(run.defaults, run.config)
    return [(key, shown(default), shown(value)) for key, default, value in found if not _is_location(key)]


def between(runs: Sequence[Run]) -> dict[str, list[str]]:
    """{key: value in each run} of the settings that differ between the runs."""
    flat = [_flat(run.config) for run in runs]
    keys = dict.fromkeys(key for one in flat for key in one if not _follows(key, one))
    rows = {key: [shown(one.get(key, ABSENT)) for one in flat] for key in keys if not _is_location(key)}
    return {key: values for key, values in rows.items() if len(set(values)) > 1}


def _is_location(key: str) -> bool:
    return key.split(".")[0] in _LOCATIONS or key.rpartition(".")[2] == "download"


def _follows(key: str, flat: dict[str, Any]) -> bool:
    """Whether its value equals that of the key it is interpolated from: data.seed from seed, model.generator.width
    from model.width, or a path from run_dir.
    """
    group, *parts = key.split(".")
    if not parts:
        return False
    sources = [parts[-1]] if len(parts) == 1 else [f"{group}.{parts[-1]}", "run_dir"]
    return flat[key] in [flat[other] for other in sources if other in flat]


def _flat(node: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in node.items():
        key = f"{prefix}{name}"
        found |= _flat(value, f"{key}.") if isinstance(value, dict) else {key: value}
    return found
