"""The counter-based generator: equal words give equal numbers; different words give independent numbers."""

import torch

from genimg.common.hashing import Use, hash_int, hash_words, uniform

COUNT = 100_000


def test_uniform_numbers_fill_the_unit_interval_evenly() -> None:
    values = uniform(Use.CLIP, 0, 7, torch.arange(COUNT))
    assert values.min() > 0
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


def test_the_order_and_the_sign_of_the_words_matter() -> None:
    numbers = [hash_int(*words) for words in [(1, 2), (2, 1), (1, -2), (1,), (1, 2, 0), (0,), (0, 0), (2**63 + 1, 2)]]
    assert len(set(numbers)) == len(numbers)


def test_hashing_a_batch_equals_hashing_its_items() -> None:
    batch = hash_words(Use.FLIP, 0, 3, torch.arange(10))
    assert batch.tolist() == [hash_int(Use.FLIP, 0, 3, index) for index in range(10)]


def test_the_numbers_never_change() -> None:
    """A change would silently change the data of resumed runs."""
    assert hash_int(Use.ORDER, 0, 0) == -7650512950402692985


def test_a_generator_seeded_with_a_hash_reads_every_word() -> None:
    """The CPU's generator reads the low 32 bits of a seed: all of them must depend on every word."""

    def first(*words: int) -> float:
        return float(torch.rand((), generator=torch.Generator().manual_seed(hash_int(Use.PROCESS, *words))))

    seeds = [(seed, rank) for seed in (0, 3, 2**32 - 1) for rank in range(100)]
    assert len({first(*words) for words in seeds}) == len(seeds)
