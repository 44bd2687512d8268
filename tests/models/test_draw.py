"""DRAW: its bound against the exact log p(x) of a tiny model, its steps, classes, sizes and training."""

import functools
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from genimg.common.errors import UserError
from genimg.common.noise import Noise
from genimg.models.draw import DRAW
from genimg.models.networks.draw import GlimpseDecoder, GlimpseEncoder
from genimg.models.objectives.likelihoods import LIKELIHOODS
from tests.models.test_vae import seeded, some_images, train

GLIMPSES, LATENT_DIM = 3, 2


def draw(
    size: Any = 8,
    channels: int = 1,
    num_classes: int = 0,
    glimpses: int = GLIMPSES,
    latent_dim: int = LATENT_DIM,
    **settings: Any,
) -> DRAW:
    torch.manual_seed(0)
    defaults: dict[str, Any] = {
        "likelihood": "gaussian",
        "beta": 1.0,
        "kl_warmup": 0.0,
        "grad_clip": 1.0,
        "final_lr": 0.1,
    }
    return DRAW(
        glimpse_encoder=GlimpseEncoder(size, channels, 32, latent_dim, read_size=3),
        glimpse_decoder=GlimpseDecoder(size, channels, 32, latent_dim, 4, num_classes),
        glimpses=glimpses,
        optimizer=functools.partial(torch.optim.Adam, lr=5e-3),
        num_classes=num_classes,
        **defaults | settings,
    )


def spread(model: DRAW, std: float = 0.3) -> DRAW:
    """Random weights that are large enough for every step to depend on those before."""
    generator = seeded(7)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim:
                weight.add_(std * torch.randn(weight.shape, generator=generator))
    return model.eval()


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [8, 28, (33, 20)])
def test_every_size_trains_samples_and_reconstructs(size: Any, channels: int, likelihood: str) -> None:
    model = draw(size, channels, likelihood=likelihood)
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    batch = {"images": some_images(4, size, channels)}
    metrics = train(model, batch, 2)
    assert all(value.ndim == 0 and value.isfinite() for value in metrics.values())
    assert [name for name, weight in model.named_parameters() if torch.equal(weight, before[name])] == []
    for images in (model.sample(Noise.of_first(4, 0)), model.reconstruct(batch["images"])):
        assert images.shape == batch["images"].shape
        assert images.abs().max() <= 1


@torch.no_grad()
def test_the_posterior_of_a_step_depends_on_the_steps_before_alone() -> None:
    model, images = spread(draw()), some_images(2)
    noise = torch.randn(2, GLIMPSES * LATENT_DIM, generator=seeded())
    infer = model.inference(images, None)
    plain = infer(noise)
    for step in range(GLIMPSES):
        changed = noise.clone()
        changed[:, step * LATENT_DIM : (step + 1) * LATENT_DIM] += 1
        for name in ("mean", "log_var"):
            moved = (getattr(infer(changed), name) != getattr(plain, name)).view(2, GLIMPSES, LATENT_DIM).any(2)
            assert not moved[:, : step + 1].any() and moved[:, step + 1 :].all()


@torch.no_grad()
def test_the_latents_of_an_image_decode_to_what_the_bound_compares_with_it() -> None:
    """Encoding writes on the same canvas as decoding."""
    model, images = spread(draw(likelihood="bernoulli")), some_images(3)
    found = model.inference(images, None)(torch.randn(3, model.latent_dim, generator=seeded()))
    torch.testing.assert_close(model.decode(found.z), model.likelihood.mean(found.outputs))
    assert torch.equal(model.encode(images, generator=seeded()), found.z)
    means = model.inference(images, None)(torch.zeros(3, model.latent_dim))
    assert torch.equal(means.z, means.mean)
    torch.testing.assert_close(model.reconstruct(images), model.decode(means.z))


@torch.no_grad()
def test_the_kl_is_the_sum_of_the_closed_forms_of_the_steps() -> None:
    """Equations 10 and 11 of the paper: 1/2 sum_t (mu_t^2 + sigma_t^2 - log sigma_t^2) - T/2 for each latent."""
    model, images = spread(draw()), some_images(3)
    noise = Noise.of_first(3, 5)
    metrics = model.evaluate({"images": images}, noise)
    found = model.inference(images, None)(Noise.of_first(3, 5).normal(model.latent_dim))
    mean, log_var = (part.double().view(3, GLIMPSES, LATENT_DIM) for part in (found.mean, found.log_var))
    expected = sum(
        0.5 * (mean[:, t].square() + log_var[:, t].exp() - log_var[:, t]).sum(1) - LATENT_DIM / 2
        for t in range(GLIMPSES)
    )
    torch.testing.assert_close(metrics["kl"].double(), expected)
    torch.testing.assert_close(metrics["elbo"], metrics["reconstruction"] - metrics["kl"])


def exact_log_p(model: DRAW, images: Tensor) -> Tensor:
    """log p(x) of a model of two latents in all, by a sum over a fine grid of both, (B,)."""
    points = torch.linspace(-6, 6, 161)
    z = torch.cartesian_prod(points, points)
    log_prior = -0.5 * z.square().sum(1) - math.log(2 * math.pi) + 2 * math.log(float(points[1] - points[0]))
    *_, outputs = model.decoder.canvases(z, None)
    log_p = [model.likelihood.log_prob(outputs, model.log_scale, one.expand_as(outputs)) for one in images]
    return (torch.stack(log_p) + log_prior).logsumexp(1)


@torch.no_grad()
def test_the_bounds_rise_from_the_elbo_to_log_p() -> None:
    """Two steps of one latent each: the integral over both is known."""
    model: Any = spread(draw(glimpses=2, latent_dim=1, likelihood="discretized_logistic"), std=0.1)
    model.log_scale.fill_(1.0)  # wide, so that no posterior is narrower than the grid
    images, count = some_images(4), 500
    exact, many = exact_log_p(model, images), images.repeat(count, 1, 1, 1)
    one, eight = (
        model.log_likelihood(many, None, samples=samples, generator=seeded()).view(count, 4) for samples in (1, 8)
    )
    assert (one.mean(0) < eight.mean(0)).all() and (eight.mean(0) < exact).all()
    torch.testing.assert_close(one.logsumexp(0) - math.log(count), exact, rtol=0, atol=0.2)
    elbo = model.evaluate({"images": many}, Noise.of_first(4 * count, 1))["elbo"].view(count, 4)
    error = ((one.var(0) + elbo.var(0)) / count).sqrt()
    assert ((one.mean(0) - elbo.mean(0)).abs() < 4 * error).all()


def test_evaluate_uses_only_the_given_noise() -> None:
    model, batch = spread(draw(likelihood="discretized_logistic")), {"images": some_images(5)}
    first = model.evaluate(batch, Noise.of_first(5, 3))
    torch.manual_seed(99)
    second = model.evaluate(batch, Noise.of_first(5, 3))
    assert first.keys() == {"elbo", "kl", "reconstruction", "bits_per_dim"}
    for name, value in first.items():
        assert value.shape == (5,) and torch.equal(value, second[name])


@torch.no_grad()
def test_the_steps_begin_with_the_background_and_end_with_the_image() -> None:
    model = spread(draw((6, 9), 3, likelihood="bernoulli"))
    z = Noise.of_first(4, 0).normal(model.latent_dim)
    steps = model.decode_steps(z)
    assert steps.shape == (4, GLIMPSES + 1, 3, 6, 9)
    assert torch.equal(steps[:, -1], model.decode(z))
    assert torch.equal(steps[:, 0], steps[:1, 0].expand(4, -1, -1, -1))
    other = z.clone()
    other[:, -LATENT_DIM:] += 1  # of the last step
    changed = (model.decode_steps(other) != steps).flatten(2).any(2)
    assert changed.tolist() == [[False] * GLIMPSES + [True]] * 4


def test_training_improves_the_elbo_and_reconstructions() -> None:
    model, batch = draw(likelihood="discretized_logistic"), {"images": some_images(12)}
    first = train(model, batch, 1)
    before = (model.reconstruct(batch["images"]) - batch["images"]).square().mean()
    last = train(model, batch, 80)
    assert last["elbo"] > first["elbo"] + 30
    assert (model.reconstruct(batch["images"]) - batch["images"]).square().mean() < 0.6 * before


def test_a_class_is_learned_and_changes_the_image() -> None:
    """Class 0 is dark and class 1 bright; without its class an image of the other brightness would be as likely."""
    model = draw(num_classes=2)
    images = torch.tensor([-0.8, 0.8]).repeat(8).view(16, 1, 1, 1).expand(-1, 1, 8, 8).contiguous()
    batch = {"images": images, "labels": torch.arange(2).repeat(8)}
    train(model, batch, 40)
    with torch.no_grad():
        dark, bright = (model.sample(Noise.of_first(8, 0), labels=torch.full((8,), label)) for label in (0, 1))
        mixed = model.decode(Noise.of_first(8, 0).normal(model.latent_dim), torch.full((8, 2), 0.5))
        assert dark.mean() < -0.4 and bright.mean() > 0.4
        assert dark.mean() < mixed.mean() < bright.mean()
        swapped = model.evaluate({"images": images, "labels": 1 - batch["labels"]}, Noise.of_first(16, 0))
        assert swapped["elbo"].mean() < model.evaluate(batch, Noise.of_first(16, 0))["elbo"].mean()


def test_a_conditional_model_needs_classes() -> None:
    model = draw(num_classes=2)
    for call in (
        lambda: model.sample(Noise.of_first(2, 0)),
        lambda: model.decode_steps(torch.zeros(2, model.latent_dim)),
        lambda: model.reconstruct(some_images(2)),
    ):
        with pytest.raises(UserError) as mistake:
            call()
        assert mistake.value.key == "classes"


def test_a_gradient_is_clipped_by_its_norm_per_value() -> None:
    model = draw(grad_clip=0.5)
    for weight in model.parameters():
        weight.grad = torch.full_like(weight, 1e3)
    model.on_before_optimizer_step(torch.optim.SGD(model.parameters(), 1.0))
    norm = torch.stack([weight.grad.norm() for weight in model.parameters() if weight.grad is not None]).norm()
    assert float(norm) == pytest.approx(0.5 * 64, rel=1e-4)


def test_an_unknown_likelihood_is_an_error() -> None:
    with pytest.raises(UserError) as mistake:
        draw(likelihood="poisson")
    assert mistake.value.key == "model.likelihood"
