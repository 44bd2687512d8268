"""The code RNN: its bound, its two parts and when each is trained, samples of classes, and guidance."""

from __future__ import annotations

import functools
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from genimg.common.errors import UserError
from genimg.common.noise import Noise
from genimg.models.code_rnn import SETTLED, CodeRNN
from genimg.models.networks.code_maps import Decoder, Encoder
from genimg.models.networks.code_prior import CodePrior
from genimg.models.networks.quantisers import FSQ, VQ
from genimg.models.networks.shape import NetworkShape
from genimg.models.objectives.pixel_distributions import from_levels


def code_rnn(size: Any = 8, channels: int = 1, num_classes: int = 0, vq: bool = False) -> CodeRNN:
    torch.manual_seed(0)
    levels = [16] if vq else [4, 3]
    shape = NetworkShape(size, channels, width=8, max_width=8, hidden=16, smallest=8, num_classes=num_classes)
    return CodeRNN(
        encoder=Encoder(shape, blocks=1),
        quantiser=VQ(shape, 4, levels, commitment=0.25, decay=0.9) if vq else FSQ(shape, levels),
        decoder=Decoder(shape, blocks=1),
        code_prior=CodePrior(shape, levels, layers=1),
        optimizer=functools.partial(torch.optim.Adam, lr=1e-2),
        num_classes=num_classes,
        label_dropout=0.2,
        grad_clip=1.0,
        final_lr=0.1,
    ).eval()


def stripes(labels: Tensor) -> Tensor:
    """Images (B, 1, 8, 8) of class 0, 1, ...: bright up to a column that depends on the class."""
    columns = torch.arange(8).view(1, 1, 1, 8).expand(len(labels), 1, 8, 8)
    return (columns <= 2 * labels.view(-1, 1, 1, 1)).float() * 1.6 - 0.8


def trained(model: CodeRNN, steps: int, num_classes: int) -> CodeRNN:
    """Trained on stripes, on the clock of a run of so many steps."""
    optimizer: Any = model.train().configure_optimizers()
    generator = torch.Generator().manual_seed(0)
    for step in range(steps):
        model.progress = step / steps
        labels = torch.randint(num_classes, (32,), generator=generator)
        loss = model.training_step({"images": stripes(labels), "labels": labels}, 0)["loss"]
        optimizer.zero_grad()
        loss.backward()
        model.on_before_optimizer_step(optimizer)
        optimizer.step()
    return model.eval()


@functools.cache
def of_stripes(vq: bool) -> CodeRNN:
    return trained(code_rnn(num_classes=3, vq=vq), 250, 3)


@pytest.mark.parametrize("vq", [False, True])
def test_samples_of_a_class_are_images_of_it(vq: bool) -> None:
    labels = torch.arange(30) % 3
    drawn = of_stripes(vq).sample(Noise.of_first(30, seed=0), labels=labels)
    distances = (drawn[:, None] - stripes(torch.arange(3))[None]).square().mean((2, 3, 4))
    assert (distances.argmin(1) == labels).float().mean() > 0.9
    assert distances.amin(1).mean() < 0.1


def test_guidance_1_is_the_sample_and_more_is_more_typical() -> None:
    """log p(codes | class) - log p(codes) of what is drawn rises with the weight of the class."""
    model, labels = trained(code_rnn(num_classes=3), 40, 3), torch.arange(60) % 3
    noise = Noise.of_first(60, seed=0)
    assert torch.equal(model.sample_guided(noise, labels, 1.0, 1.0), model.sample(noise, labels=labels))
    uniform, gains = noise.uniform(4, 4, 2), []
    for guidance in (0.0, 1.0, 3.0):
        codes = model.code_prior.sample(uniform, labels, 1.0, guidance)
        with torch.no_grad():
            of_class, without = (model.code_prior.log_prob(codes, y) for y in (labels, torch.full_like(labels, 3)))
        gains.append(float((of_class - without).sum((1, 2)).mean()))
    assert gains == sorted(gains) and gains[2] > gains[0] + 1


@pytest.mark.parametrize("vq", [False, True])
def test_reconstructions_are_those_of_the_codes(vq: bool) -> None:
    model, images = of_stripes(vq), stripes(torch.arange(3))
    with torch.no_grad():
        rebuilt = model.reconstruct(images)
        codes = model.quantised(images).codes
        again = model._mean_image(model.quantiser.decode(codes))
    torch.testing.assert_close(rebuilt, again, rtol=1e-4, atol=1e-5)
    assert (rebuilt - images).square().mean() < 0.02


def test_the_bound_is_the_likelihood_of_the_image_with_its_own_code() -> None:
    """Nats of the code by the prior, and of the pixels by the decoder; it is below the sum over all codes."""
    model = of_stripes(False)
    images = from_levels(torch.randint(256, (2, 1, 8, 8), generator=torch.Generator().manual_seed(0)))
    labels = torch.tensor([0, 2])
    with torch.no_grad():
        metrics = model.evaluate({"images": images, "labels": labels}, Noise.of_first(2, seed=0))
        nats = model.log_likelihood(images, labels, samples=5, generator=torch.Generator())
        codes = model.quantised(images).codes
        log_p = model.code_prior.log_prob(codes, labels).sum((1, 2))
        mean = model.decoder(model.quantiser.decode(codes))
        levels = model.likelihood.log_prob(mean, model.log_scale, images)
    torch.testing.assert_close(nats, log_p + levels)
    torch.testing.assert_close(metrics["elbo"], nats)
    torch.testing.assert_close(metrics["kl"], -log_p)
    torch.testing.assert_close(metrics["reconstruction"], levels)
    torch.testing.assert_close(metrics["bits_per_dim"], -nats / (64 * math.log(2)))
    torch.testing.assert_close(metrics["mse"], (mean.clamp(-1, 1) - images).square().mean((1, 2, 3)) / 4)
    assert not model.exact_likelihood and model.no_likelihood() is None


def changed(model: CodeRNN, before: dict[str, Tensor]) -> set[str]:
    return {name.split(".")[0] for name, value in model.state_dict().items() if not torch.equal(value, before[name])}


def steps(model: CodeRNN, progress: float) -> set[str]:
    """The parts of the model that two steps change."""
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer: Any = model.configure_optimizers()
    for _ in range(2):
        model.progress = progress
        loss = model.training_step({"images": stripes(torch.arange(8) % 3)}, 0)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return changed(model, before)


@pytest.mark.parametrize("vq", [False, True])
def test_both_parts_are_trained_until_the_codes_are_settled_and_then_the_prior_alone(vq: bool) -> None:
    everything = {"encoder", "quantiser", "decoder", "code_prior", "log_scale"}
    model = code_rnn(vq=vq)
    assert steps(model, SETTLED - 0.01) == everything
    assert model.quantiser.codes_used() > 0
    assert steps(model, SETTLED) == {"code_prior"}


def test_the_prior_does_not_change_the_autoencoder() -> None:
    """Their gradients do not mix: the autoencoder's is the same whatever the prior is."""
    found = []
    for scale in (0.0, 1.0):
        model = code_rnn()
        for weight in model.code_prior.parameters():
            torch.nn.init.normal_(weight, std=scale)
        model.training_step({"images": stripes(torch.arange(8) % 3)}, 0)["loss"].backward()
        found.append([weight.grad for weight in model.encoder.parameters()])
    for one, other in zip(*found, strict=True):
        assert one is not None and torch.equal(one, other)


def test_the_learning_rate_of_the_autoencoder_ends_where_its_training_does() -> None:
    model = code_rnn()
    optimizer: Any = model.configure_optimizers()
    model.optimizers = lambda use_pl_optimizer=True: optimizer  # pyright: ignore
    for progress, expected in ((0.0, (1e-2, 1e-2)), (SETTLED, (1e-3, None)), (1.0, (1e-3, 1e-3))):
        model.set_clock(0, progress)
        rates = [group["lr"] for group in optimizer.param_groups]
        for rate, known in zip(rates, expected, strict=True):
            assert known is None or rate == pytest.approx(known)
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(list(model.parameters()))


def test_a_conditional_model_needs_classes() -> None:
    with pytest.raises(UserError) as mistake:
        code_rnn(num_classes=2).sample(Noise.of_first(2, seed=0))
    assert mistake.value.key == "classes"


@pytest.mark.parametrize("size", [8, (21, 34), 28, 64])
def test_the_map_of_codes_is_at_most_8_on_its_shorter_side(size: Any) -> None:
    model = code_rnn(size, channels=3)
    height, width = (size, size) if isinstance(size, int) else size
    images = model.sample(Noise.of_first(2, seed=0))
    assert images.shape == (2, 3, height, width) and images.abs().max() <= 1
    assert min(model.quantised(images).codes.shape[1:]) <= 8


def test_metrics_are_float32_under_autocast() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        metrics = code_rnn().training_step({"images": stripes(torch.arange(8) % 3)}, 0)
    assert all(value.dtype == torch.float32 for value in metrics.values())
