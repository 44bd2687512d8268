"""Compares two configurations of plain types. Torch-free."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

ABSENT = object()  # the value of a key that one of the two lacks


def differences(before: dict[str, Any], after: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yields (key, value before, value after) of every setting that differs. A mapping that only one has is one."""
    for name in dict.fromkeys([*before, *after]):
        was, now = before.get(name, ABSENT), after.get(name, ABSENT)
        if isinstance(was, dict) and isinstance(now, dict):
            yield from differences(was, now, f"{prefix}{name}.")
        elif was != now:
            yield f"{prefix}{name}", was, now


def shown(value: object) -> str:
    """`value` as YAML writes it on one line; '' for `ABSENT`."""
    if value is ABSENT:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
