"""Schedules: values as functions of the progress of a run, 0 at the start and 1 when the budget is spent.

They have no state, so a resumed run continues them exactly.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple


def cosine(progress: float, start: float, end: float) -> float:
    """Half a cosine from `start` at progress 0 to `end` at progress 1 (Loshchilov & Hutter 2017, eq. 5)."""
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * min(max(progress, 0.0), 1.0)))


def constant(progress: float, start: float, end: float) -> float:
    """`start` at any progress."""
    return start


def inverse_sqrt(progress: float, start: float, end: float) -> float:
    """`start`, then proportional to 1 / sqrt(progress), so that it is `end` at progress 1; 0 < end <= start.

    The decay of Karras et al. 2024, "Analyzing and improving the training dynamics of diffusion models",
    https://arxiv.org/abs/2312.02696, with t_ref = (end / start)^2 of the run.
    """
    return min(start, end / math.sqrt(max(progress, 1e-12)))


class Schedule(NamedTuple):
    """A value that goes from `start` to `end` during a run, on a cosine."""

    start: float
    end: float

    @classmethod
    def of(cls, given: float | Sequence[float]) -> "Schedule":
        """From a setting: one number, which stays, or the two ends."""
        return cls(given, given) if isinstance(given, int | float) else cls(*given)

    def __str__(self) -> str:
        return f"{self.start}" if self.start == self.end else f"[{self.start},{self.end}]"

    def at(self, progress: float) -> float:
        """The value at a progress from 0 to 1."""
        return cosine(progress, self.start, self.end)


#: Learning rates by the name that `model.lr_schedule` takes: from `model.lr` to `model.final_lr` times this value.
LR_SCHEDULES: dict[str, Callable[[float, float, float], float]] = {
    "cosine": cosine,
    "constant": constant,
    "inverse_sqrt": inverse_sqrt,
}


def risen(progress: float, until: float) -> float:
    """A factor that rises in proportion to progress, from 0 to 1 at `until`; 1 throughout if `until` is 0."""
    return min(1.0, progress / until) if until > 0 else 1.0
