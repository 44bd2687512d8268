"""Values written as words of the command line, so that what is printed can be typed. Torch-free."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Mapping

_PLAIN_PATH = re.compile(r"[\w.+-]*/[\w./+-]*", re.ASCII)


def quoted(text: str) -> str:
    """`text` as a value that Hydra's grammar takes as it is; a plain path stays one."""
    if _PLAIN_PATH.fullmatch(text):
        return text
    # to Hydra backslashes before a quote are special, no others
    escaped = re.sub(r'(\\*)"', r'\1\1\\"', f'{text}"')
    return f'"{escaped[:-2]}"'


def doubled(budget: Mapping[str, object]) -> list[str]:
    """The settings of a budget twice as large: `budget.images=2000`, `budget.minutes=4`; without what is no limit."""
    given = [(name, budget.get(name)) for name in ("images", "epochs", "minutes")]
    limits = [(name, limit) for name, limit in given if isinstance(limit, int | float) and not isinstance(limit, bool)]
    return [f"budget.{name}={2 * limit}" for name, limit in limits if 0 < limit < math.inf]


def word(key: str, value: object) -> str:
    """`key=value` as the shell and then Hydra read it, whatever the value holds."""
    return shlex.quote(f"{key}={quoted(str(value))}")
