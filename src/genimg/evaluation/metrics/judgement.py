"""Statistics of people's answers: rates with intervals, strengths from pairs, agreement."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from scipy.stats import binomtest
from torch import Tensor

_CLOSE = 1e-9  # a step of logarithms of strengths, from which on they count as found
_MOST_STEPS = 1000


class Rate(NamedTuple):
    """A share of `n` answers with its 95 % Wilson interval, and the p-value against one half, two-sided."""

    value: float
    low: float
    high: float
    p: float
    n: int


def rate(count: int, n: int) -> Rate:
    """`count` of `n` answers, which are taken as independent. Wilson 1927; the exact binomial test."""
    if n == 0:
        raise ValueError("no answers to take a rate of")
    test = binomtest(count, n, 0.5)
    interval = test.proportion_ci(confidence_level=0.95, method="wilson")
    return Rate(count / n, float(interval.low), float(interval.high), float(test.pvalue), n)


def bradley_terry(wins: Tensor) -> Tensor:
    """Strengths (K,) that sum to 1, from `wins` (K, K): how often the row was preferred to the column; a tie is half
    a win for both.

    P(i before j) = s_i / (s_i + s_j): Bradley & Terry 1952. The likeliest strengths, by Newton's method for their
    logarithms, in which the log-likelihood is concave; Hunter's MM algorithm of 2004 takes thousands of steps where one
    wins nearly always. Half a win is added to each pair that met, to both sides, so that who never won
    has a strength too.

    Raises:
        ValueError: where two of them are not linked by pairs that met: their strengths would not compare.
    """
    wins = wins.double()
    met = (wins + wins.T) > 0
    linked = (met | torch.eye(len(wins), dtype=torch.bool)).double()
    if not bool((torch.linalg.matrix_power(linked, len(wins)) > 0).all()):
        raise ValueError("not all of them are linked by pairs that met")
    wins = wins + 0.5 * met
    games = wins + wins.T
    logs = torch.zeros(len(wins), dtype=torch.float64)
    for _ in range(_MOST_STEPS):
        chances = torch.sigmoid(logs[:, None] - logs)
        slope = (wins - games * chances).sum(1)
        curves = games * chances * chances.T
        curvature = curves.sum(1).diag() - curves + 1  # the 1 holds the sum of the logarithms, which is free, at 0
        step = torch.linalg.solve(curvature, slope)
        logs = logs + step / step.abs().max().clamp_min(1)  # far from the top a whole step may lead past it
        if step.abs().max() < _CLOSE:
            break
    return logs.softmax(0)


def fleiss_kappa(counts: Tensor) -> float:
    """Agreement between raters beyond chance, 1 at most: `counts` (N, A), how many gave each of A answers to each of N
    questions; equally many raters, two or more, for every question. Fleiss 1971. NaN where all answers are one.
    """
    counts = counts.double()
    raters = counts.sum(1)
    if not bool((raters == raters[0]).all()) or raters[0] < 2:
        raise ValueError("every question needs the same number of raters, two or more")
    observed = ((counts.square().sum(1) - raters) / (raters * (raters - 1))).mean()
    expected = (counts.sum(0) / counts.sum()).square().sum()
    return float((observed - expected) / (1 - expected)) if expected < 1 else float("nan")


def same(pairs: Sequence[tuple[str, str]]) -> float:
    """The share of pairs whose two answers are one."""
    return sum(a == b for a, b in pairs) / len(pairs)
