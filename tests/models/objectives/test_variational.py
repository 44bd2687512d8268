"""KL divergences of Gaussians against Monte Carlo and torch; reparameterised samples; soft bounds."""

import pytest
import torch
from torch.distributions import Independent, Normal, kl_divergence

from genimg.models.objectives.variational import gaussian_kl, gaussian_kl_between, reparameterise, soft_bound


def gaussian(items: int = 5, dim: int = 3, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(items, dim, generator=generator), torch.randn(items, dim, generator=generator)


def as_distribution(mean: torch.Tensor, log_var: torch.Tensor) -> Independent:
    return Independent(Normal(mean, (0.5 * log_var).exp()), 1)


def test_the_closed_form_kl_equals_its_monte_carlo_estimate() -> None:
    mean, log_var = gaussian()
    q, p = as_distribution(mean, log_var), as_distribution(torch.zeros(3), torch.zeros(3))
    noise = torch.randn(50_000, *mean.shape, generator=torch.Generator().manual_seed(1))
    z = reparameterise(mean, log_var, noise)
    log_ratio = q.log_prob(z) - p.log_prob(z)  # (samples, B)
    standard_error = log_ratio.std(0) / len(log_ratio) ** 0.5
    assert ((log_ratio.mean(0) - gaussian_kl(mean, log_var)).abs() < 4 * standard_error).all()


def test_kl_between_two_gaussians_equals_torchs() -> None:
    q, p = gaussian(seed=0), gaussian(seed=1)
    expected = kl_divergence(as_distribution(*q), as_distribution(*p))
    torch.testing.assert_close(gaussian_kl_between(*q, *p), expected)


def test_kl_between_equal_gaussians_is_exactly_zero() -> None:
    q = gaussian()
    assert torch.equal(gaussian_kl_between(*q, *q), torch.zeros(5))


def test_kl_between_gaussians_equals_kl_to_the_standard_normal() -> None:
    mean, log_var = gaussian()
    zeros = torch.zeros_like(mean)
    torch.testing.assert_close(gaussian_kl_between(mean, log_var, zeros, zeros), gaussian_kl(mean, log_var))


def test_kl_is_one_float32_value_per_item() -> None:
    kl = gaussian_kl(torch.zeros(4, 2, 3, dtype=torch.bfloat16), torch.ones(4, 2, 3, dtype=torch.bfloat16))
    assert kl.shape == (4,)
    assert kl.dtype == torch.float32


def test_reparameterised_samples_have_the_given_mean_and_variance() -> None:
    mean, log_var = torch.tensor([[1.0, -2.0]]), torch.tensor([[0.5, -1.0]])
    noise = torch.randn(100_000, 2, generator=torch.Generator().manual_seed(0))
    z = reparameterise(mean, log_var, noise)
    standard_error = (log_var.exp()[0] / len(z)) ** 0.5
    assert ((z.mean(0) - mean[0]).abs() < 4 * standard_error).all()
    torch.testing.assert_close(z.var(0), log_var.exp()[0], rtol=0.03, atol=0)


@pytest.mark.parametrize("value", [-1e6, -30.0, 0.0, 30.0, 1e6])
def test_soft_bound_keeps_every_value_in_the_interval(value: float) -> None:
    bounded = soft_bound(torch.tensor(value), -8.0, 4.0)
    assert -8 - 1e-4 <= bounded <= 4 + 1e-4  # the two bends meet to within exp(low - high)


def test_soft_bound_is_increasing_and_nearly_the_identity_inside() -> None:
    x = torch.linspace(-20, 20, 401)
    bounded = soft_bound(x, -10.0, 10.0)
    inside = x.abs() < 4
    torch.testing.assert_close(bounded[inside], x[inside], rtol=0, atol=0.01)
    assert (bounded.diff() > 0).all()
