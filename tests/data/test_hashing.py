"""The counter-based generator: same words, same number; other words, independent numbers."""

import torch

from genimg.data.hashing import Use, hash_int, hash_words, uniform

COUNT = 100_000


def test_uniform_numbers_fill_the_unit_interval_evenly() -> None:
    values = uniform(Use.CLIP, 0, 7, torch.arange(COUNT))
    assert values.min() >= 0
    assert values.max() < 1
    counts = torch.histc(values.float(), bins=20, min=0, max=1)
    chi_square = ((counts - COUNT / 20).square() / (COUNT / 20)).sum()
    assert chi_square < 19 + 4 * (2 * 19) ** 0.5  # mean 19, variance 38


def test_neighbours_are_uncorrelated_along_every_word() -> None:
    index = torch.arange(COUNT)
    base = uniform(Use.CLIP, 3, 5, index)
    for other in (
        uniform(Use.CLIP, 3, 5, index + 1),
        uniform(Use.CLIP, 3, 6, index),
        uniform(Use.CLIP, 4, 5, index),
    ):
        correlation = torch.corrcoef(torch.stack([base, other]))[0, 1]
        assert abs(correlation) < 4 / COUNT**0.5


def test_order_of_words_and_their_sign_count() -> None:
    numbers = [hash_int(*words) for words in [(1, 2), (2, 1), (1, -2), (1,), (1, 2, 0), (0,), (0, 0), (2**63 + 1, 2)]]
    assert len(set(numbers)) == len(numbers)


def test_a_batch_is_its_items_one_by_one() -> None:
    batch = hash_words(Use.FLIP, 0, 3, torch.arange(10))
    assert batch.tolist() == [hash_int(Use.FLIP, 0, 3, index) for index in range(10)]


def test_numbers_stay_what_they_are() -> None:
    """A change would silently alter the data of every run that is resumed."""
    assert hash_int(Use.ORDER, 0, 0) == -7650512950402692985
