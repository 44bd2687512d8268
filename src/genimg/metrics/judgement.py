"""Statistics of people's answers: rates with intervals, strengths from pairs, agreement."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from scipy.stats import binomtest
from torch import Tensor


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


def bradley_terry(wins: Tensor, iterations: int = 1000) -> Tensor:
    """Strengths (K,) that sum to 1, from `wins` (K, K): how often the row was preferred to the column; a tie is half
    a win for both.

    P(i before j) = s_i / (s_i + s_j): Bradley & Terry 1952, by Hunter 2004, eq. 3 (the MM algorithm). Half a win is
    added to each pair that met, to both sides, so that one who never won has a strength too.

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
    strengths = torch.full((len(wins),), 1 / len(wins), dtype=torch.float64)
    for _ in range(iterations):
        expected = (games / (strengths[:, None] + strengths[None, :])).sum(1)
        strengths = wins.sum(1) / expected.clamp_min(1e-12)
        strengths = strengths / strengths.sum()
    return strengths


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
