"""Likelihoods: they sum to 1, equal torch's distributions, and have their maximum at the expected parameters."""

import numpy as np
import pytest
import torch
from scipy.stats import logistic
from torch.distributions import Bernoulli, Normal

from genimg.models.objectives.likelihoods import (
    MIN_LOG_SIGMA,
    bernoulli,
    bernoulli_mean,
    discretized_logistic,
    gaussian,
    optimal_log_sigma,
)

LEVELS = torch.arange(256) / 127.5 - 1  # the values of 8 bits in [-1, 1]


@pytest.mark.parametrize("mean", [-1.5, -1.0, -0.3, 0.0, 0.7, 1.0, 1.5])
@pytest.mark.parametrize("log_scale", [-7.0, -4.0, -1.0, 1.0])
def test_the_discretized_logistic_sums_to_one_over_all_levels(mean: float, log_scale: float) -> None:
    pixels = LEVELS.view(256, 1)
    log_mass = discretized_logistic(torch.tensor(mean), torch.tensor(log_scale), pixels)
    assert log_mass.shape == (256,)
    torch.testing.assert_close(log_mass.double().exp().sum(), torch.tensor(1.0).double(), rtol=0, atol=1e-4)


def test_the_discretized_logistic_equals_scipys_in_float64() -> None:
    """The mass of a level is a difference of the distribution function, in the tails of logarithms."""
    generator = torch.Generator().manual_seed(0)
    mean = torch.rand(4, 3, 8, 8, generator=generator) * 2 - 1
    log_scale = torch.randn(mean.shape, generator=generator) - 3
    levels = torch.randint(0, 256, mean.shape, generator=generator)
    x, m, scale = (t.double().numpy() for t in (levels / 127.5 - 1, mean, log_scale.double().exp()))
    low, high = ((x - 1 / 255 - m) / scale, (x + 1 / 255 - m) / scale)
    below, above = logistic.logcdf(high), logistic.logsf(low)
    smaller = np.where(low > 0, logistic.logsf(high), logistic.logcdf(low))
    middle = np.where(low > 0, above, below) + np.log1p(-np.exp(smaller - np.where(low > 0, above, below)))
    mass = np.where(levels == 0, below, np.where(levels == 255, above, middle))
    found = discretized_logistic(mean, log_scale, levels / 127.5 - 1)
    assert found.tolist() == pytest.approx(mass.sum((1, 2, 3)).tolist(), rel=1e-5)


def test_the_tails_of_the_discretized_logistic_belong_to_the_outermost_levels() -> None:
    """A mean far outside [-1, 1] puts all mass on the nearest level."""
    for mean, level in ((-9.0, 0), (9.0, 255)):
        log_mass = discretized_logistic(torch.tensor(mean), torch.tensor(-3.0), LEVELS.view(256, 1))
        assert log_mass.argmax() == level
        assert log_mass[level] > -1e-3


def test_the_discretized_logistic_has_finite_gradients_far_from_the_mean() -> None:
    mean, log_scale = torch.tensor([[1.0]], requires_grad=True), torch.tensor(-7.0, requires_grad=True)
    discretized_logistic(mean, log_scale, torch.tensor([[-0.5]])).sum().backward()
    assert mean.grad is not None
    assert log_scale.grad is not None
    assert mean.grad.isfinite().all()
    assert mean.grad.item() != 0
    assert log_scale.grad.isfinite()


def test_bernoulli_equals_torchs_on_binary_images() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(4, 1, 5, 5, generator=generator)
    bits = torch.randint(0, 2, logits.shape, generator=generator).float()
    expected = Bernoulli(logits=logits).log_prob(bits).sum((1, 2, 3))
    torch.testing.assert_close(bernoulli(logits, 2 * bits - 1), expected)


def test_the_maximum_of_bernoulli_is_at_the_image() -> None:
    """Also for grey pixels, for which it is a loss and not a likelihood."""
    images = torch.tensor([[-0.6, 0.0, 0.8]])
    logits = torch.zeros_like(images, requires_grad=True)
    optimizer = torch.optim.SGD([logits], lr=2.0)
    for _ in range(100):
        optimizer.zero_grad()
        (-bernoulli(logits, images).sum()).backward()
        optimizer.step()
    torch.testing.assert_close(bernoulli_mean(logits.detach()), images, rtol=0, atol=1e-3)


def test_gaussian_equals_torchs() -> None:
    generator = torch.Generator().manual_seed(0)
    mean, images = torch.randn(2, 3, 1, 4, 4, generator=generator)
    expected = Normal(mean, torch.tensor(-1.3).exp()).log_prob(images).sum((1, 2, 3))
    torch.testing.assert_close(gaussian(mean, torch.tensor(-1.3), images), expected)


def test_the_optimal_sigma_maximises_the_likelihood() -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(8, 1, 6, 6, generator=generator) * 2 - 1
    mean = images + 0.2 * torch.randn(images.shape, generator=generator)
    best = optimal_log_sigma((images - mean).square().mean())
    likelihood = gaussian(mean, best, images).sum()
    for step in (-0.1, 0.1):
        assert gaussian(mean, best + step, images).sum() < likelihood
    torch.testing.assert_close(best.exp(), (images - mean).square().mean().sqrt(), rtol=1e-5, atol=0)


@pytest.mark.parametrize("mse", [1.0, 1e-2, 1e-4, 1e-5])
def test_the_optimal_sigma_is_the_root_mean_squared_error(mse: float) -> None:
    torch.testing.assert_close(optimal_log_sigma(torch.tensor(mse)).exp(), torch.tensor(mse**0.5))


def test_the_optimal_sigma_of_an_exact_reconstruction_is_finite() -> None:
    images = torch.zeros(2, 1, 4, 4)
    mean = torch.zeros(2, 1, 4, 4, requires_grad=True)
    log_sigma = optimal_log_sigma((images - mean).square().mean())
    assert log_sigma.item() == pytest.approx(MIN_LOG_SIGMA)
    gaussian(mean, log_sigma, images).sum().backward()
    assert mean.grad is not None
    assert mean.grad.isfinite().all()


@pytest.mark.parametrize("shape", [(2, 3, 8, 8), (2, 4, 1, 8, 8)])
def test_every_likelihood_is_one_float32_value_per_item(shape: tuple[int, ...]) -> None:
    outputs, images = torch.zeros(shape, dtype=torch.bfloat16), torch.zeros(shape)
    for value in (
        bernoulli(outputs, images),
        gaussian(outputs, torch.tensor(0.0), images),
        discretized_logistic(outputs, torch.tensor(0.0), images),
    ):
        assert value.shape == (2,)
        assert value.dtype == torch.float32
