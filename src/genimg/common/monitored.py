"""The metric by which a model is selected: which of two values is better."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from genimg.common.reading import read_json


@dataclass(frozen=True)
class Monitored:
    """A value of the monitored metric."""

    name: str
    value: float
    direction: Literal["min", "max"]  # in which it improves
    n: int  # the number of images or clips that it was measured on

    @property
    def cost(self) -> float:
        """The value, negated for a metric that rises: less is better."""
        return -self.value if self.direction == "max" else self.value


def comparable(values: Iterable[Monitored]) -> bool:
    """Whether the values are of one metric, measured on the same number of images or clips."""
    return len({(one.name, one.n) for one in values}) < 2


def read_best(path: Path) -> Monitored | None:
    """Reads a run's best.json. Returns None if the file is missing or damaged."""
    try:
        found = read_json(path)
    except ValueError:
        return None
    match found:
        case {"name": str(name), "value": int(value) | float(value), "direction": "min" | "max" as way, "n": int(n)}:
            if re.fullmatch(r"\w{1,60}", name) and 0 < n < 2**53 and not isinstance(value, bool):
                return Monitored(name, value, way, n)
    return None
