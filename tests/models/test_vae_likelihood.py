"""The VAE's lower bounds of log p(x), compared with each other and with a model of known log p(x)."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal

from genimg.common.noise import Noise
from genimg.models.objectives.likelihoods import bernoulli
from tests.models.test_vae import LATENT_DIM, seeded, some_images, vae


@torch.no_grad()
def test_the_elbo_is_below_the_importance_weighted_bound() -> None:
    """log p(x) >= IWAE_K >= ELBO in expectation, for the model's own densities. Burda et al. 2016."""
    model = vae(likelihood="bernoulli")
    images = some_images(6).sign()  # binary, so that the likelihood is one
    mean, log_var = model.posterior(images)
    posterior = Normal(mean + 0.5, (0.5 * log_var).exp())  # not the network's own: the bounds hold for any q
    elbos, bounds = [], []
    for _ in range(40):
        z = posterior.sample(torch.Size([50]))  # (K, B, latent_dim)
        log_prior = Normal(0.0, 1.0).log_prob(z).sum(2)
        log_q = posterior.log_prob(z).sum(2)
        log_likelihood = torch.stack([bernoulli(model.decoder(one), images) for one in z])
        log_weights = log_likelihood + log_prior - log_q
        elbos.append(log_weights.mean(0))
        bounds.append(log_weights.logsumexp(0) - math.log(50))
    gap = torch.stack(bounds).mean(0) - torch.stack(elbos).mean(0)
    assert (gap > 0).all()


@torch.no_grad()
def test_the_elbo_of_evaluate_equals_its_monte_carlo_estimate() -> None:
    """With the closed-form KL or with log-densities of the same samples: the same within standard errors."""
    model = vae(likelihood="bernoulli", kl_warmup=0.5, beta=3.0)  # neither may matter
    torch.nn.init.normal_(model.encoder.to_gaussian.weight, std=0.1)  # pyright: ignore
    images = some_images(3).sign()
    draws = [-model.evaluate({"images": images}, Noise.of_first(3, i))["variational_loss"] for i in range(400)]
    mean, log_var = model.posterior(images)
    posterior = Normal(mean, (0.5 * log_var).exp())
    z = posterior.sample(torch.Size([400]))
    log_likelihood = torch.stack([bernoulli(model.decoder(one), images) for one in z])
    sampled = log_likelihood + Normal(0.0, 1.0).log_prob(z).sum(2) - posterior.log_prob(z).sum(2)
    elbos = torch.stack(draws)
    standard_error = ((elbos.var(0) + sampled.var(0)) / 400).sqrt()
    assert ((elbos.mean(0) - sampled.mean(0)).abs() < 4 * standard_error).all()


def test_the_bound_rises_with_the_number_of_samples_and_equals_the_elbo_for_one() -> None:
    model: Any = vae(likelihood="discretized_logistic").eval()
    images = torch.rand(64, 1, 8, 8) * 2 - 1
    with torch.no_grad():
        torch.nn.init.normal_(model.encoder.to_gaussian.weight, std=0.3)  # far from the true posterior
        bounds = [float(model.log_likelihood(images, None, samples=k, generator=seeded()).mean()) for k in (1, 8, 64)]
        elbo = torch.stack(
            [model.evaluate({"images": images}, Noise.of_first(len(images), s))["elbo"].mean() for s in range(20)]
        ).mean()
        ones = [model.log_likelihood(images, None, samples=1, generator=seeded(s)).mean() for s in range(20)]
    assert bounds[0] < bounds[1] < bounds[2]
    assert float(torch.stack(ones).mean()) == pytest.approx(float(elbo), rel=0.02)


def test_the_bound_is_exact_if_the_decoder_ignores_z() -> None:
    """Then p(x | z) = p(x) for samples z of any q, here of the prior."""
    model: Any = vae(likelihood="discretized_logistic").eval()
    images = torch.rand(4, 1, 8, 8) * 2 - 1
    with torch.no_grad():
        torch.nn.init.zeros_(model.decoder.fc1.weight)
        torch.nn.init.zeros_(model.encoder.to_gaussian.weight)
        found = model.log_likelihood(images, None, samples=5, generator=seeded())
        outputs = model.decoder(torch.zeros(4, model.latent_dim), None)
        exact = model.likelihood.log_prob(outputs, model.log_scale, images)
    torch.testing.assert_close(found, exact)


class LinearGaussian:
    """x = W z + e, z ~ N(0, I), e ~ N(0, sigma^2): log p(x) and p(z | x) are known (Bishop 2006, section 12.2).

    The columns of W are orthogonal, so that the posterior is diagonal. As the encoder it gives that, moved by
    `shift` and with its log-variance changed by `wider`.
    """

    sigma = 0.5
    lengths = torch.tensor([2.0, 1.0, 0.5, 0.2])  # of the columns

    def __init__(self, shift: float = 0.0, wider: float = 0.0) -> None:
        self.columns = torch.linalg.qr(torch.randn(64, LATENT_DIM, generator=seeded())).Q * self.lengths
        self.variance = self.sigma**2 / (self.lengths.square() + self.sigma**2)  # of p(z | x)
        self.shift, self.wider = shift, wider
        self.model: Any = vae()
        self.model.encoder.forward, self.model.decoder.forward = self.encode, self.decode
        self.model.log_scale.fill_(math.log(self.sigma))

    def encode(self, images: Tensor, labels: Tensor | None) -> tuple[Tensor, Tensor]:
        mean = images.flatten(1) @ self.columns / (self.lengths.square() + self.sigma**2)
        return mean + self.shift, self.variance.log().expand_as(mean) + self.wider

    def decode(self, z: Tensor, labels: Tensor | None) -> Tensor:
        return (z @ self.columns.T).unflatten(1, (1, 8, 8))

    def draw(self, count: int) -> Tensor:
        z, noise = torch.randn(count, LATENT_DIM, generator=seeded(1)), torch.randn(count, 64, generator=seeded(2))
        return (z @ self.columns.T + self.sigma * noise).unflatten(1, (1, 8, 8))

    def log_p(self, images: Tensor) -> Tensor:
        columns = self.columns.double()
        covariance = columns @ columns.T + self.sigma**2 * torch.eye(64, dtype=torch.float64)
        return torch.distributions.MultivariateNormal(covariance.new_zeros(64), covariance).log_prob(
            images.flatten(1).double()
        )

    def kl(self) -> float:
        """Of the encoder's posterior from the true one, in nats."""
        ratio = math.exp(self.wider)
        return float(0.5 * (ratio - 1 - self.wider + self.shift**2 / self.variance).sum())


@torch.no_grad()
def test_the_bound_equals_log_p_if_the_posterior_is_exact() -> None:
    """All importance weights are then equal, so that one sample is enough."""
    case = LinearGaussian()
    images = case.draw(20)
    for samples in (1, 7):
        found = case.model.log_likelihood(images, None, samples=samples, generator=seeded(3))
        assert found.tolist() == pytest.approx(case.log_p(images).tolist(), rel=1e-4)


@torch.no_grad()
def test_the_bound_converges_from_the_elbo_to_log_p() -> None:
    """For an inexact posterior, the mean gap is its KL divergence with one sample, and close to 0 with many."""
    case = LinearGaussian(shift=0.15, wider=0.4)
    images = case.draw(500)
    log_p = case.log_p(images)
    gaps = {k: log_p - case.model.log_likelihood(images, None, samples=k, generator=seeded(4)) for k in (1, 4, 1000)}
    standard_error = float(gaps[1].std()) / 500**0.5
    assert float(gaps[1].mean()) == pytest.approx(case.kl(), abs=3 * standard_error)
    assert gaps[1].mean() > gaps[4].mean() > gaps[1000].mean()
    assert float(gaps[1000].mean()) == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize(
    ("name", "refused"), [("bernoulli", True), ("gaussian", True), ("discretized_logistic", False)]
)
def test_only_the_discretized_logistic_has_a_likelihood_of_images(name: str, refused: bool) -> None:
    assert (vae(likelihood=name).no_likelihood() is not None) == refused
