"""The VAE: metrics, schedules, priors, reconstructions and errors, for every size and likelihood."""

import functools
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from genimg.common.errors import UserError
from genimg.common.noise import Noise
from genimg.models.networks.conv import Decoder, Encoder
from genimg.models.networks.prior import ClassMixtures
from genimg.models.networks.shape import NetworkShape
from genimg.models.objectives.likelihoods import LIKELIHOODS
from genimg.models.vae import VAE
from genimg.models.variational import VariationalModel

LATENT_DIM = 4


def vae(size: Any = 8, channels: int = 1, num_classes: int = 0, **settings: Any) -> VAE:
    torch.manual_seed(0)
    shape = NetworkShape(size, channels, width=8, max_width=16, hidden=32, smallest=7, num_classes=num_classes)
    defaults: dict[str, Any] = {
        "likelihood": "gaussian",
        "beta": 1.0,
        "kl_warmup": 0.0,
        "prior": "fitted",
        "final_lr": 0.1,
    }
    return VAE(
        encoder=Encoder(shape, LATENT_DIM),
        decoder=Decoder(shape, LATENT_DIM),
        mixture=ClassMixtures(LATENT_DIM, 3, num_classes),
        optimizer=functools.partial(torch.optim.Adam, lr=5e-3),
        latent_dim=LATENT_DIM,
        num_classes=num_classes,
        **defaults | settings,
    )


def some_images(count: int, size: Any = 8, channels: int = 1) -> Tensor:
    """Bright bars on black, each at its own place, in the levels of 8 bits."""
    height, width = (size, size) if isinstance(size, int) else size
    images = torch.full((count, channels, height, width), -1.0)
    for i in range(count):
        images[i, :, i % (height - 2) : i % (height - 2) + 2] = round(127.5 + 10 * (i % 12)) / 127.5 - 1
    return images


def train(model: VariationalModel, batch: dict[str, Tensor], steps: int) -> dict[str, Tensor]:
    optimizer: Any = model.configure_optimizers()
    metrics: dict[str, Tensor] = {}
    for _ in range(steps):
        metrics = model.training_step(batch, 0)
        optimizer.zero_grad()
        metrics["loss"].backward()
        optimizer.step()
    return metrics


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [8, 28, 50, (64, 48)])
def test_every_size_trains_and_samples(size: Any, channels: int, likelihood: str) -> None:
    model = vae(size, channels, likelihood=likelihood)
    before = [p.detach().clone() for p in model.decoder.parameters()]
    batch = {"images": some_images(4, size, channels)}
    metrics = train(model, batch, 1)
    assert all(value.ndim == 0 and value.isfinite() for value in metrics.values())
    assert any(not torch.equal(a, b) for a, b in zip(before, model.decoder.parameters(), strict=True))
    sample = model.sample(Noise.of_first(3, 0)).detach()
    assert sample.shape == (3, *batch["images"].shape[1:])
    assert sample.abs().max() <= 1


def test_the_scale_metric_is_the_bounded_scale_of_the_likelihood() -> None:
    model = vae(likelihood="discretized_logistic")
    with torch.no_grad():
        model.log_scale.fill_(-9.0)  # far under the softly kept least of exp(-7)
    scale = model.training_step({"images": some_images(8)}, 0)["scale"]
    assert scale > math.exp(-7)


def test_the_elbo_metric_does_not_depend_on_beta() -> None:
    metrics = train(vae(beta=4.0), {"images": some_images(8)}, 1)
    torch.testing.assert_close(metrics["elbo"], metrics["reconstruction"] - metrics["kl"])
    torch.testing.assert_close(metrics["loss"].detach(), 4 * metrics["kl"] - metrics["reconstruction"])
    assert all(not value.requires_grad for name, value in metrics.items() if name != "loss")


@pytest.mark.parametrize(
    ("progress", "kl_warmup", "expected"),
    [(0.0, 0.2, 0.0), (0.1, 0.2, 1.0), (0.2, 0.2, 2.0), (0.9, 0.2, 2.0), (0.0, 0.0, 2.0)],
)
def test_beta_rises_over_the_warm_up(progress: float, kl_warmup: float, expected: float) -> None:
    model = vae(beta=2.0, kl_warmup=kl_warmup)
    model.progress = progress
    assert model.beta_now() == pytest.approx(expected)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_evaluate_gives_one_value_per_image_and_uses_only_the_given_generator(likelihood: str) -> None:
    model = vae(likelihood=likelihood).eval()
    batch = {"images": some_images(5)}
    first = model.evaluate(batch, Noise.of_first(5, 3))
    torch.manual_seed(99)
    second = model.evaluate(batch, Noise.of_first(5, 3))
    assert {"kl", "reconstruction"} <= first.keys()
    assert ("elbo" in first) == ("variational_loss" not in first) == (likelihood != "bernoulli")
    assert ("bits_per_dim" in first) == (likelihood == "discretized_logistic")
    for name, value in first.items():
        assert value.shape == (5,)
        assert torch.equal(value, second[name])


@pytest.mark.parametrize("prior", ["normal", "fitted"])
def test_samples_are_a_function_of_the_seed(prior: str) -> None:
    model = vae(prior=prior)
    model.fit_prior(torch.randn(200, LATENT_DIM, generator=seeded(1)) * 0.5 + 2, None, seeded(1))
    first, second, other = (model.sample(Noise.of_first(4, seed)) for seed in (5, 5, 6))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    decoded = model.decode(Noise.of_first(4, 5).normal(LATENT_DIM))
    assert torch.equal(first, decoded)


def test_the_fitted_prior_has_the_mean_and_deviation_of_the_latents() -> None:
    model = vae()
    latents = torch.randn(4000, LATENT_DIM, generator=seeded(1)) * 0.3 + torch.tensor([2.0, 0.0, -1.0, 0.0])
    model.fit_prior(latents, None, seeded(1))
    z = model.mixture.transport(Noise.of_first(4000, 2).normal(LATENT_DIM), None)
    torch.testing.assert_close(z.mean(0), latents.mean(0), rtol=0, atol=0.05)
    torch.testing.assert_close(z.std(0), latents.std(0), rtol=0, atol=0.05)


def test_fit_prior_does_not_change_a_normal_prior() -> None:
    model = vae(prior="normal")
    before = model.sample(Noise.of_first(4, 0))
    model.fit_prior(torch.randn(200, LATENT_DIM) + 5, None, seeded())
    assert torch.equal(before, model.sample(Noise.of_first(4, 0)))


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_training_improves_reconstructions_and_the_elbo(likelihood: str) -> None:
    model, images = vae(likelihood=likelihood), some_images(24)
    before = (model.reconstruct(images) - images).square().mean()
    name, direction = model.likelihood.objective
    untrained = model.evaluate({"images": images}, Noise.of_first(24, 0))[name].mean()
    train(model, {"images": images}, 150)
    assert (model.reconstruct(images) - images).square().mean() < 0.5 * before
    trained = model.evaluate({"images": images}, Noise.of_first(24, 0))[name].mean()
    assert trained > untrained if direction == "max" else trained < untrained


def test_the_running_sigma_converges_to_the_optimal_sigma() -> None:
    model, images = vae(), some_images(24)
    metrics = train(model, {"images": images}, 400)
    torch.testing.assert_close(model.log_scale.detach().exp(), metrics["sigma"], rtol=0.3, atol=0)


def test_the_class_changes_what_a_conditional_model_decodes() -> None:
    model = vae(num_classes=3)
    noise = Noise.of_first(2, 0).normal(LATENT_DIM)
    zero, one = (model.decode(noise, torch.full((2,), label)) for label in (0, 1))
    assert not torch.equal(zero, one)
    train(model, {"images": some_images(3), "labels": torch.arange(3)}, 1)


def test_a_conditional_model_without_labels_is_an_error() -> None:
    model = vae(num_classes=3)
    with pytest.raises(UserError, match="conditional"):
        model.sample(Noise.of_first(2, 0))
    with pytest.raises(UserError, match="data with labels"):
        model.training_step({"images": some_images(3)}, 0)


def test_an_unconditional_model_ignores_labels() -> None:
    model, images = vae(), some_images(3)
    assert torch.equal(model.reconstruct(images, torch.arange(3)), model.reconstruct(images))


@pytest.mark.parametrize(("key", "value"), [("likelihood", "gausian"), ("prior", "flow")])
def test_an_unknown_choice_is_an_error_with_its_name(key: str, value: str) -> None:
    with pytest.raises(UserError, match=f"model.{key}: got {value}"):
        vae(8, 1, 0, **{key: value})


def test_metrics_are_float32_under_autocast() -> None:
    model = vae()
    with torch.autocast("cpu", torch.bfloat16):
        metrics = model.training_step({"images": some_images(3)}, 0)
        exact = model.mixture.transport(torch.randn(3, LATENT_DIM, generator=seeded()), None)
    assert all(value.dtype == torch.float32 for value in metrics.values())
    assert exact.dtype == torch.float32
