"""Writes values as words of the command line, so that printed commands can be typed. Torch-free."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Mapping

_PLAIN_PATH = re.compile(r"[\w.+-]*/[\w./+-]*", re.ASCII)


def quoted(text: str) -> str:
    """`text` quoted for Hydra's grammar; a plain path needs no quotes."""
    if _PLAIN_PATH.fullmatch(text):
        return text
    # in Hydra's grammar only backslashes before a quote are special
    escaped = re.sub(r'(\\*)"', r'\1\1\\"', f'{text}"')
    return f'"{escaped[:-2]}"'


def doubled(budget: Mapping[str, object]) -> list[str]:
    """The overrides that double a budget, for example `budget.images=2000`; limits that are not set are omitted."""
    given = [(name, budget.get(name)) for name in ("images", "epochs", "steps", "minutes")]
    limits = [(name, limit) for name, limit in given if isinstance(limit, int | float) and not isinstance(limit, bool)]
    return [f"budget.{name}={2 * limit}" for name, limit in limits if 0 < limit < math.inf]


def word(key: str, value: object) -> str:
    """`key=value` quoted for Hydra and then for the shell."""
    return shlex.quote(f"{key}={quoted(str(value))}")
