"""Statistics of human judgements: proportions with intervals, strengths from pairwise comparisons, agreement."""

from typing import NamedTuple

import torch
from scipy.stats import binomtest
from torch import Tensor

_TOLERANCE = 1e-9  # the last step of the log strengths
_MOST_STEPS = 1000


class Proportion(NamedTuple):
    """A proportion of `n` answers, its 95 % Wilson interval, and the two-sided p-value against one half."""

    value: float
    n: int
    low: float
    high: float
    p: float


def proportion(count: int, n: int) -> Proportion:
    """`count` of `n` independent answers, by the interval of Wilson 1927 and the exact binomial test."""
    if n == 0:
        raise ValueError("no answers: n is 0")
    test = binomtest(count, n, 0.5)
    interval = test.proportion_ci(confidence_level=0.95, method="wilson")
    return Proportion(count / n, n, float(interval.low), float(interval.high), float(test.pvalue))


def bradley_terry(wins: Tensor) -> Tensor:
    """Strengths (K,) that sum to 1, from `wins` (K, K): how often the row was preferred to the column.

    A tie is half a win for both. P(i before j) = s_i / (s_i + s_j): Bradley & Terry 1952. The maximum-likelihood
    strengths are found by Newton's method on their logarithms, in which the log-likelihood is concave; Hunter's MM
    algorithm (2004) takes thousands of steps if one nearly always wins. Half a win is added to both sides of each
    compared pair, so that the strength of an entry without wins is positive.

    Raises:
        ValueError: if the graph of compared pairs is not connected: the strengths would not be comparable.
    """
    wins = wins.double()
    compared = (wins + wins.T) > 0
    linked = (compared | torch.eye(len(wins), dtype=torch.bool)).double()
    if not bool((torch.linalg.matrix_power(linked, len(wins)) > 0).all()):
        raise ValueError("not all entries are linked by compared pairs")
    wins = wins + 0.5 * compared
    games = wins + wins.T
    logs = torch.zeros(len(wins), dtype=torch.float64)
    for _ in range(_MOST_STEPS):
        chances = torch.sigmoid(logs[:, None] - logs)
        gradient = (wins - games * chances).sum(1)
        weights = games * chances * chances.T
        curvature = weights.sum(1).diag() - weights + 1  # the 1 fixes the sum of the logarithms, which is free, at 0
        step = torch.linalg.solve(curvature, gradient)
        logs = logs + step / step.abs().max().clamp_min(1)  # far from the maximum, a full step may overshoot
        if step.abs().max() < _TOLERANCE:
            break
    return logs.softmax(0)


def fleiss_kappa(counts: Tensor) -> float:
    """Agreement between raters beyond chance, at most 1. NaN if all answers are equal. Fleiss 1971.

    Args:
        counts: (N, A), the number of raters who gave each of A answers to each of N questions. Every question has the
            same number of raters, two or more.
    """
    counts = counts.double()
    raters = counts.sum(1)
    if not bool((raters == raters[0]).all()) or raters[0] < 2:
        raise ValueError("every question needs the same number of raters, two or more")
    observed = ((counts.square().sum(1) - raters) / (raters * (raters - 1))).mean()
    expected = (counts.sum(0) / counts.sum()).square().sum()
    return float((observed - expected) / (1 - expected)) if expected < 1 else float("nan")
