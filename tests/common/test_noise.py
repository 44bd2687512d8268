"""The noise of a sample is a function of (seed, index, future), standard normal, and independent between samples."""

import pytest
import torch

from genimg.common.noise import Noise

COUNT = 20_000


def test_a_sample_has_the_same_noise_in_every_batch() -> None:
    everything = Noise.of_first(100, seed=3).normal(7)
    some = torch.tensor([99, 4, 5])
    assert torch.equal(Noise(3, some).normal(7), everything[some])
    assert torch.equal(Noise.of_first(2, seed=3).normal(7), everything[:2])


def test_a_stream_continues_where_the_numbers_were_skipped() -> None:
    noise = Noise.of_first(4, seed=0)
    frames = noise.normal(5, 3)
    assert torch.equal(noise.normal(3, skip=6), frames[:, 2])
    assert torch.equal(noise.normal(2, 3, skip=9), frames[:, 3:])


def test_futures_differ_and_share_the_noise_of_their_start() -> None:
    noise = Noise.of_first(3, seed=0)
    assert not torch.equal(noise.normal(4), noise.of_future(1).normal(4))
    assert torch.equal(noise.of_start().uniform(4), noise.of_future(5).of_start().uniform(4))
    assert not torch.equal(noise.of_start().uniform(4), noise.uniform(4))


def test_the_numbers_are_standard_normal() -> None:
    z = Noise.of_first(COUNT, seed=1).normal(4).double().flatten()
    error = len(z) ** -0.5
    for power, moment, deviation in ((1, 0, 1), (2, 1, 2**0.5), (3, 0, 15**0.5), (4, 3, 96**0.5)):
        assert abs(float((z**power).mean()) - moment) < 4 * deviation * error
    below = torch.tensor([float((z < x).double().mean()) for x in (-3, -2, -1, 0, 1, 2, 3)], dtype=torch.float64)
    expected = torch.special.ndtr(torch.arange(-3, 4).double())
    assert ((below - expected).abs() < 4 * (expected * (1 - expected)).sqrt() * error).all()
    assert z.isfinite().all()


def test_samples_seeds_futures_and_numbers_are_uncorrelated() -> None:
    noise = Noise.of_first(COUNT, seed=0)
    next_ones = Noise(0, torch.arange(COUNT) + 1)
    columns = [*noise.normal(2).T, next_ones.normal(1)[:, 0], Noise.of_first(COUNT, seed=1).normal(1)[:, 0]]
    columns += [noise.of_future(1).normal(1)[:, 0], noise.of_start().normal(1)[:, 0]]
    correlations = torch.corrcoef(torch.stack(columns)).triu(1)
    assert correlations.abs().max() < 4.5 * COUNT**-0.5


@pytest.mark.gpu
def test_devices_agree() -> None:
    assert torch.equal(Noise.of_first(9, 0, "cuda").normal(5).cpu(), Noise.of_first(9, 0).normal(5))
