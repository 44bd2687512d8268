"""The likelihood of independent pixels, against counts."""

import numpy as np
import pytest
import torch

from genimg.evaluation.likelihood import independent_log_likelihood


def random_images(count: int, pixels: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(100, 104, (count, 1, 1, pixels), generator=generator, dtype=torch.uint8)


def test_the_log_likelihood_is_the_sum_of_log_frequencies() -> None:
    train, test = random_images(50, 1500, seed=0), random_images(3, 1500, seed=1)
    known, asked = train.flatten(1).numpy(), test.flatten(1).numpy()
    share = ((known[:, None] == asked[None]).sum(0) + 1 / 256) / 51
    expected = np.log(share).sum(1)
    assert independent_log_likelihood(train, test).numpy() == pytest.approx(expected, rel=1e-12)


def test_the_probabilities_of_all_values_sum_to_one() -> None:
    train, every = random_images(7, 1, seed=0), torch.arange(256, dtype=torch.uint8).view(256, 1, 1, 1)
    assert float(independent_log_likelihood(train, every).exp().sum()) == pytest.approx(1, rel=1e-12)


def test_without_training_images_a_pixel_has_eight_bits() -> None:
    none = torch.empty(0, 1, 2, 2, dtype=torch.uint8)
    nats = independent_log_likelihood(none, torch.tensor([[[[0, 9], [100, 255]]]], dtype=torch.uint8))
    assert float(nats) == pytest.approx(-4 * 8 * np.log(2))
