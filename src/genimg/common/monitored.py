"""The figure that a model is judged by, with what it takes to tell which of two is better."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class Monitored:
    """A value of the figure that a model is judged by.

    direction: which way it improves.
    n: the images or clips it is of; None where an older version did not tell.
    """

    name: str
    value: float
    direction: Literal["min", "max"]
    n: int | None

    @property
    def cost(self) -> float:
        """The value, with the sign that makes less the better."""
        return -self.value if self.direction == "max" else self.value


def compare(figures: Iterable[Monitored]) -> bool:
    """Whether they say which is better: those of one name do, of as many images or clips where they tell."""
    found = list(figures)
    return len({one.name for one in found}) < 2 and len({one.n for one in found} - {None}) < 2


def read_best(path: Path) -> Monitored | None:
    """From a run's best.json, as its callback wrote it; None where there is none, or it is damaged."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    match found:
        case {"name": str(name), "value": int(value) | float(value), "direction": "min" | "max" as direction}:
            n = found.get("n")
            return Monitored(name, value, direction, n if isinstance(n, int) else None)
    return None
