"""The interval of a mean over repeated runs covers the mean as often as it says."""

from __future__ import annotations

import math
import random
from pathlib import Path

import pytest
from scipy.stats import t

from genimg.sweeps.folder import Job
from genimg.sweeps.results import Result, mean_interval, show


def test_the_interval_equals_students_t_interval() -> None:
    values = [0.3, 0.5, 0.9, 0.4]
    mean, half = mean_interval(values)
    deviation = math.sqrt(sum((v - 0.525) ** 2 for v in values) / 3)
    assert mean == pytest.approx(0.525)
    assert half == pytest.approx(t.interval(0.95, 3, scale=deviation / 2)[1])


def test_three_values_cover_their_mean_nineteen_times_in_twenty() -> None:
    draw, times = random.Random(0), 4000
    covered = 0
    for _ in range(times):
        mean, half = mean_interval([draw.gauss(5, 2) for _ in range(3)])
        assert mean is not None and half is not None
        covered += abs(mean - 5) <= half
    assert abs(covered / times - 0.95) < 3 * math.sqrt(0.95 * 0.05 / times)


def test_too_few_values_have_no_interval() -> None:
    assert mean_interval([]) == (None, None)
    assert mean_interval([0.5]) == (0.5, None)


def test_text_of_an_untrusted_sweep_is_printed_without_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    evil = "[b]\x1b[2J\u202e\nerror: forged"
    jobs = [Job([f"a={evil}", f"b={number}{evil}"], "0") for number in range(2)]
    show([Result(job, Path(f"x{evil}"), "failed", 1.0, None, evil) for job in jobs], seeds=True)
    printed = capsys.readouterr()
    assert not {"\x1b", "\u202e"} & {*printed.out, *printed.err}
    assert "\nerror: forged" not in printed.out + printed.err
    assert r"[b]\x1b" in printed.out and r"[b]\x1b" in printed.err
