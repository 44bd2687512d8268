"""The fitted prior: fitting a Gaussian mixture, its log-density, and the transport from N(0, I) to it."""

import math
from typing import Any

import pytest
import torch

from genimg.models.networks.prior import ClassMixtures, GaussianMixture

WEIGHTS = torch.tensor([0.6, 0.4])
MEANS = torch.tensor([[3.0, 0.0], [-2.0, 1.0]])
FACTORS = torch.tensor([[[1.0, 0.0], [0.8, 0.3]], [[0.2, 0.0], [0.0, 0.7]]])


def known_latents(num: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.multinomial(WEIGHTS, num, replacement=True, generator=generator)
    noise = torch.randn(num, 2, generator=generator)
    return MEANS[chosen] + torch.einsum("nij,nj->ni", FACTORS[chosen], noise)


def true_log_prob(z: torch.Tensor) -> torch.Tensor:
    components = [
        torch.distributions.MultivariateNormal(m, scale_tril=f).log_prob(z) for m, f in zip(MEANS, FACTORS, strict=True)
    ]
    return (torch.stack(components) + WEIGHTS.log()[:, None]).logsumexp(0)


def fitted(components: int = 2) -> GaussianMixture:
    mixture = GaussianMixture(2, components)
    mixture.fit(known_latents(8000, 0), generator=torch.Generator().manual_seed(0))
    return mixture


def test_fit_recovers_the_parameters_of_a_known_mixture() -> None:
    mixture = fitted()
    order = mixture.means[:, 0].argsort(descending=True)
    torch.testing.assert_close(mixture.log_weights.exp()[order], WEIGHTS, rtol=0, atol=0.03)
    torch.testing.assert_close(mixture.means[order], MEANS, rtol=0, atol=0.06)
    axes, variances = mixture.axes[order], mixture.variances[order]
    torch.testing.assert_close((axes * variances[:, None]) @ axes.mT, FACTORS @ FACTORS.mT, rtol=0, atol=0.06)


def test_the_log_density_of_a_fitted_mixture_equals_the_true_one() -> None:
    z = known_latents(4000, 1)
    difference = true_log_prob(z) - fitted().log_prob(z)  # its mean is KL(true || fitted)
    assert difference.mean().abs() < 0.01


def test_transported_normal_noise_has_the_distribution_of_the_mixture() -> None:
    """Compares the share of points in several half-planes, and the mean log-density, with samples of the mixture."""
    mixture = fitted()
    noise = torch.randn(8000, 2, generator=torch.Generator().manual_seed(2))
    mapped, direct = mixture.transport(noise), known_latents(8000, 3)
    standard_error = math.sqrt(0.25 * 2 / 8000)
    for axis, threshold in ((0, 0.0), (0, 3.0), (1, 0.0), (1, 1.0), (0, -2.0)):
        shares = [(z[:, axis] < threshold).float().mean() for z in (mapped, direct)]
        assert abs(shares[0] - shares[1]) < 4 * standard_error
    log_probs = [mixture.log_prob(z) for z in (mapped, direct)]
    spread = log_probs[0].std() * math.sqrt(2 / 8000)
    assert (log_probs[0].mean() - log_probs[1].mean()).abs() < 4 * spread + 0.02


def test_transport_is_smooth_where_components_overlap() -> None:
    """Neighbouring noise gives neighbouring latents, which interpolation needs."""
    mixture = GaussianMixture(2, 2)
    mixture.means.copy_(torch.tensor([[1.0, 0.5], [-1.0, 0.0]]))
    mixture.variances.copy_(torch.tensor([[0.5, 1.0], [1.0, 0.3]]))
    line = torch.stack([torch.linspace(-3, 3, 601), torch.zeros(601)], dim=1)  # steps of 0.01
    assert mixture.transport(line).diff(dim=0).norm(dim=1).max() < 0.03


def test_an_unfitted_mixture_is_the_standard_normal() -> None:
    mixture = GaussianMixture(3, 4)
    z = torch.randn(10, 3, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(mixture.transport(z), z)
    expected = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(1)
    torch.testing.assert_close(mixture.log_prob(z), expected)


@pytest.mark.parametrize("num", [2, 5, 30])
def test_few_latents_give_few_components_and_finite_samples(num: int) -> None:
    mixture = GaussianMixture(4, 10)
    generator = torch.Generator().manual_seed(0)
    mixture.fit(torch.randn(num, 4, generator=generator), generator=generator)
    assert mixture.log_weights.isfinite().sum() == max(1, num // 16)
    assert mixture.transport(torch.randn(20, 4, generator=generator)).isfinite().all()


@pytest.mark.parametrize("size", [1.0, 1e5, 1e9, 1e14])
def test_fit_accepts_large_and_nearly_collinear_latents(size: float) -> None:
    """Such latents, near one line and far from 0, occur if the learning rate is too high."""
    generator = torch.Generator().manual_seed(0)
    line = torch.randn(1000, 1, generator=generator) * torch.linspace(-1, 1, 16)
    latents = size * (line + 3 + 1e-5 * torch.randn(1000, 16, generator=generator))
    mixture = GaussianMixture(16, 5)
    mixture.fit(latents, generator=generator)
    drawn = mixture.transport(torch.randn(2000, 16, generator=generator))
    torch.testing.assert_close(drawn.mean(0) / size, latents.mean(0) / size, rtol=0, atol=0.15)
    assert mixture.log_prob(latents).isfinite().all()


@pytest.mark.parametrize("value", [math.nan, math.inf, 1e16])
def test_fit_ignores_latents_that_are_not_finite_or_too_large(value: float) -> None:
    mixture = fitted()
    before = mixture.means.clone()
    mixture.fit(torch.full((100, 2), value), generator=torch.Generator())
    assert torch.equal(mixture.means, before)


def test_the_state_dict_restores_a_fitted_mixture() -> None:
    first, second = fitted(5), GaussianMixture(2, 5)
    second.load_state_dict(first.state_dict())
    noise = torch.randn(5, 2, generator=torch.Generator().manual_seed(0))
    assert torch.equal(first.transport(noise), second.transport(noise))


def test_fit_is_deterministic_given_the_generator() -> None:
    assert torch.equal(fitted(4).means, fitted(4).means)


def test_fit_and_transport_are_unchanged_under_autocast() -> None:
    """Training runs under autocast; a covariance in bfloat16 is often not positive, and its factorisation fails."""
    plain, under_autocast = GaussianMixture(2, 2), GaussianMixture(2, 2)
    noise = torch.randn(8, 2, generator=torch.Generator().manual_seed(2))
    latents = known_latents(400, 0)
    plain.fit(latents, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16):
        under_autocast.fit(latents, generator=torch.Generator().manual_seed(0))
        moved = under_autocast.transport(noise)
    assert torch.equal(plain.means, under_autocast.means)
    assert torch.equal(plain.transport(noise), moved)


def test_each_class_has_its_own_mixture() -> None:
    """The mixture of a class with too few latents remains N(0, I)."""
    mixtures = ClassMixtures(2, 2, num_classes=3)
    generator = torch.Generator().manual_seed(0)
    labels = torch.tensor([0] * 500 + [1] * 500 + [2])
    latents = torch.randn(1001, 2, generator=generator) + torch.tensor([[-5.0, 0.0], [5.0, 0.0], [9.0, 9.0]])[labels]
    mixtures.fit(latents, labels, generator=generator)
    noise = torch.randn(300, 2, generator=generator)
    wanted = torch.arange(300) % 3
    z = mixtures.transport(noise, wanted)
    means = torch.stack([z[wanted == label].mean(0) for label in range(3)])
    torch.testing.assert_close(means, torch.tensor([[-5.0, 0.0], [5.0, 0.0], [0.0, 0.0]]), rtol=0, atol=0.4)
    torch.testing.assert_close(z[wanted == 2], noise[wanted == 2], rtol=0, atol=1e-5)


@pytest.mark.filterwarnings("ignore:`torch.jit.trace` is")
def test_traced_transport_equals_transport_for_other_labels() -> None:
    mixtures = ClassMixtures(3, components=2, num_classes=3)
    for label in range(3):
        mixture: Any = mixtures.mixtures[label]
        mixture.means.copy_(torch.tensor([[label, 1.0, 0.0], [-label, 0.0, 2.0]]))
        mixture.variances.fill_(0.2 + 0.1 * label)
    noise, labels = torch.randn(9, 3, generator=torch.Generator().manual_seed(0)), torch.arange(9) % 3

    def transport(z: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return mixtures.transport(z, y)

    traced: Any = torch.jit.trace(transport, (noise, labels))
    for other in (labels, labels.flip(0)):
        torch.testing.assert_close(traced(noise, other), mixtures.transport(noise, other))
