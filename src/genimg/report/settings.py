"""Settings laid beside each other: of a run and its defaults, of several runs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from genimg.report.run import Run

_PLACES = ("run_dir", "outputs", "resume")  # keys that say where a run lies, not what it is
_ABSENT = object()


def changes(run: Run) -> list[tuple[str, str, str]] | None:
    """(key, default, value) of every setting of the run that is not its model's and its data's default.

    None where the run does not tell its defaults.
    """
    if run.defaults is None:
        return None
    found = _changes(run.defaults, run.config)
    return [(key, _shown(default), _shown(value)) for key, default, value in found if not _is_place(key)]


def _changes(defaults: dict[str, Any], config: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    """A part that only one of them has is one change."""
    for name in dict.fromkeys([*defaults, *config]):
        default, value = defaults.get(name, _ABSENT), config.get(name, _ABSENT)
        if isinstance(default, dict) and isinstance(value, dict):
            yield from _changes(default, value, f"{prefix}{name}.")
        elif default != value:
            yield f"{prefix}{name}", default, value


def between(runs: Sequence[Run]) -> dict[str, list[str]]:
    """{key: value of each run} of the settings that are not the same in all."""
    flat = [_flat(run.config) for run in runs]
    keys = dict.fromkeys(key for one in flat for key in one if not _copied(key, one))
    rows = {key: [_shown(one.get(key, _ABSENT)) for one in flat] for key in keys if not _is_place(key)}
    return {key: values for key, values in rows.items() if len(set(values)) > 1}


def _is_place(key: str) -> bool:
    return key.split(".")[0] in _PLACES


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


def _shown(value: object) -> str:
    """`value` as YAML has it on one line; nothing for a key that is not there."""
    if value is _ABSENT:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
