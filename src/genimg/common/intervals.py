"""Confidence intervals of means over repeated runs. No torch."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence


def mean_interval(values: Sequence[float], confidence: float = 0.95) -> tuple[float | None, float | None]:
    """Returns the mean and half the width of its interval by Student's t; None for what too few values do not define.

    Student 1908: the mean of n normal values lies within t_{n-1} s / sqrt(n) of the expected value.
    """
    if not values:
        return None, None
    mean = statistics.fmean(values)
    if len(values) < 2:
        return mean, None
    from scipy.special import stdtrit  # the quantile of t; imported here since most commands do not need it

    quantile = float(stdtrit(len(values) - 1, 0.5 + confidence / 2))
    return mean, quantile * statistics.stdev(values) / math.sqrt(len(values))
