"""Statistics of human judgements, against known values and by their laws."""

import math

import pytest
import torch

from genimg.evaluation.rating.statistics import bradley_terry, fleiss_kappa, proportion


def test_the_interval_is_that_of_wilson() -> None:
    found = proportion(7, 20)
    z = 1.959964
    centre = (7 + z**2 / 2) / (20 + z**2)
    half = z / (20 + z**2) * math.sqrt(7 * 13 / 20 + z**2 / 4)
    assert (found.value, found.n) == (0.35, 20)
    assert (found.low, found.high) == pytest.approx((centre - half, centre + half), abs=1e-6)
    assert found.p == pytest.approx(2 * sum(math.comb(20, k) for k in range(8)) / 2**20)
    with pytest.raises(ValueError, match="no answers"):
        proportion(0, 0)


def test_strengths_are_recovered_from_the_wins_they_predict() -> None:
    true = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    wins = 1e6 * true[:, None] / (true[:, None] + true[None, :])
    wins.fill_diagonal_(0)
    torch.testing.assert_close(bradley_terry(wins), true, atol=1e-4, rtol=0)


def test_an_entry_without_wins_has_a_small_strength() -> None:
    strengths = bradley_terry(torch.tensor([[0.0, 10, 10], [0, 0, 5], [0, 5, 0]]))
    assert strengths.sum() == pytest.approx(1) and strengths[0] > 0.8 and bool((strengths > 0).all())
    assert strengths[1] == pytest.approx(float(strengths[2]))


def test_strengths_have_maximum_likelihood_if_one_entry_nearly_always_wins() -> None:
    """Two equal entries, and one that won 1000 of 1000 against each: with half a win added, 0.5 to 1000.5."""
    strengths = bradley_terry(torch.tensor([[0.0, 1000, 1000], [0, 0, 500], [0, 500, 0]]))
    assert (strengths[1:] / strengths[0]).tolist() == pytest.approx([0.5 / 1000.5] * 2, rel=1e-6)
    chain = torch.diag(torch.full((11,), 1000.0), 1)  # each won against the next, and is compared with no other
    strengths = bradley_terry(chain)
    assert (strengths[1:] / strengths[:-1]).tolist() == pytest.approx([0.5 / 1000.5] * 11, rel=1e-6)


def test_strengths_of_entries_that_are_not_linked_are_refused() -> None:
    apart = torch.zeros(4, 4)
    apart[0, 1] = apart[2, 3] = 3
    with pytest.raises(ValueError, match="linked"):
        bradley_terry(apart)


def test_kappa_is_one_for_agreement_and_equals_a_published_example() -> None:
    assert fleiss_kappa(torch.tensor([[3, 0], [0, 3], [3, 0]])) == pytest.approx(1)
    # Fleiss 1971 as worked in textbooks: 10 subjects, 14 raters, 5 categories, kappa 0.210
    table = [
        [0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1],
        [7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7],
    ]  # fmt: skip
    assert fleiss_kappa(torch.tensor(table)) == pytest.approx(0.210, abs=5e-4)
    with pytest.raises(ValueError, match="same number"):
        fleiss_kappa(torch.tensor([[1, 1], [1, 2]]))
