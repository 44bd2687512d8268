"""The pixel RNN: an exact likelihood, samples that follow it, guidance, completions and training."""

import functools
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from genimg.common.errors import UserError
from genimg.common.noise import Noise
from genimg.models.networks.pixel_head import PixelHead
from genimg.models.networks.pixel_rows import RowGRU
from genimg.models.objectives.pixel_distributions import LEVELS, from_levels
from genimg.models.pixel_rnn import PixelRNN


def pixel_rnn(
    size: Any = (4, 5), channels: int = 1, num_classes: int = 0, distribution: str = "categorical", spread: float = 0.3
) -> PixelRNN:
    """spread: standard deviation of all weights, so that pixels depend on each other."""
    torch.manual_seed(0)
    model = PixelRNN(
        pixels=RowGRU(size, channels, width=8, num_classes=num_classes, layers=1, kernel=3),
        head=PixelHead(8, channels, 8, distribution),
        optimizer=functools.partial(torch.optim.Adam, lr=1e-2),
        image_size=size,
        channels=channels,
        num_classes=num_classes,
        label_dropout=0.2,
        grad_clip=1.0,
        final_lr=0.1,
    )
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=spread)
    return model.eval()


@pytest.mark.parametrize("distribution", ["categorical", "logistic_mixture"])
@pytest.mark.parametrize("shape", [(1, 1, 2), (1, 2, 1), (2, 1, 1)])
def test_the_probabilities_of_all_images_of_two_values_sum_to_one(
    shape: tuple[int, int, int], distribution: str
) -> None:
    """Two pixels in a row, in a column, and two channels of one pixel: 65,536 images each."""
    channels, height, width = shape
    model = pixel_rnn((height, width), channels, distribution=distribution)
    levels = torch.cartesian_prod(torch.arange(LEVELS), torch.arange(LEVELS))
    with torch.no_grad():
        total = sum(
            model.log_likelihood(from_levels(part).view(-1, *shape), None).double().exp().sum()
            for part in levels.split(8192)
        )
    assert float(total) == pytest.approx(1, abs=1e-4)


def test_samples_have_the_probabilities_of_the_likelihood() -> None:
    """The mean of -log p over samples is the entropy, which is also the sum over all images of two pixels."""
    model = pixel_rnn((1, 2))
    levels = torch.cartesian_prod(torch.arange(LEVELS), torch.arange(LEVELS))
    with torch.no_grad():
        nats = -model.log_likelihood(from_levels(levels).view(-1, 1, 1, 2), None).double()
        entropy = float(((-nats).exp() * nats).sum())
        drawn = -model.log_likelihood(model.sample(Noise.of_first(4000, seed=1)), None).double()
    assert abs(float(drawn.mean()) - entropy) < 5 * float(drawn.std()) / 4000**0.5


def test_temperature_0_draws_the_likeliest_levels() -> None:
    model = pixel_rnn((1, 1))
    drawn = model.sample(Noise.of_first(3, seed=0), temperature=0)
    every = from_levels(torch.arange(LEVELS)).view(-1, 1, 1, 1)
    with torch.no_grad():
        best = every[model.log_likelihood(every, None).argmax()]
    assert torch.equal(drawn, best.expand(3, 1, 1, 1))


def test_an_image_is_completed_by_what_the_model_drew() -> None:
    """With the same noise, the first pixels of a sample are completed to the sample; with other noise, they stay."""
    model = pixel_rnn(channels=3, distribution="logistic_mixture")
    noise = Noise.of_first(2, seed=3)
    image = model.sample(noise)
    for known in (0, 7, 20):
        assert torch.equal(model.draw(noise, None, 1.0, given=image, known=known), image)
    other = model.draw(Noise.of_first(2, seed=4), None, 1.0, given=image, known=7).flatten(2)
    assert torch.equal(other[:, :, :7], image.flatten(2)[:, :, :7])
    assert not torch.equal(other, image.flatten(2))


def test_guidance_1_is_the_class_and_0_is_without_it() -> None:
    model = pixel_rnn(num_classes=2, spread=0.5)
    noise, labels = Noise.of_first(3, seed=0), torch.tensor([0, 1, 1])
    unknown = torch.full_like(labels, 2)
    plain = model.sample(noise, labels=labels)
    assert torch.equal(model.draw(noise, labels, 1.0, guidance=1.0), plain)
    assert torch.equal(model.draw(noise, labels, 1.0, guidance=0.0), model.sample(noise, labels=unknown))
    assert not torch.equal(plain, model.sample(noise, labels=unknown))


def test_guidance_makes_the_class_more_probable() -> None:
    """log p(x | class) - log p(x) of samples rises with the weight of the class."""
    model = pixel_rnn(num_classes=2, spread=0.5)
    labels = torch.arange(64) % 2
    means = []
    with torch.no_grad():
        for guidance in (0.0, 1.0, 3.0):
            drawn = model.draw(Noise.of_first(64, seed=0), labels, 1.0, guidance=guidance)
            gain = model.log_likelihood(drawn, labels) - model.log_likelihood(drawn, torch.full_like(labels, 2))
            means.append(float(gain.mean()))
    assert means == sorted(means) and means[2] > means[0] + 1


def test_bits_are_those_of_the_likelihood() -> None:
    model = pixel_rnn(channels=3, distribution="logistic_mixture")
    image = model.sample(Noise.of_first(2, seed=0))
    with torch.no_grad():
        metrics = model.evaluate({"images": image}, Noise.of_first(2, seed=0))
        bits = model.bits(image, None)
    assert bits.shape == (2, 4, 5)
    torch.testing.assert_close(bits.sum((1, 2)) * math.log(2), -metrics["log_likelihood"])
    torch.testing.assert_close(metrics["bits_per_dim"], bits.mean((1, 2)) / 3)


def train(model: PixelRNN, batch: Callable[[], Tensor], steps: int) -> None:
    optimizer: Any = model.train().configure_optimizers()
    for _ in range(steps):
        loss = model.training_step({"images": batch()}, 0)["loss"]
        optimizer.zero_grad()
        loss.backward()
        model.on_before_optimizer_step(optimizer)
        optimizer.step()
    model.eval()


def test_training_learns_that_rows_repeat() -> None:
    """The levels of the first row are random among four, which is 2 bits a pixel; those below tell nothing new."""
    model, generator = pixel_rnn((4, 4), spread=0.1), torch.Generator().manual_seed(0)

    def batch() -> Tensor:
        row = from_levels(80 * torch.randint(4, (32, 1, 1, 4), generator=generator))
        return row.expand(-1, -1, 4, -1).contiguous()

    train(model, batch, 300)
    with torch.no_grad():
        bits = model.bits(batch(), None)
    assert 1.9 < bits[:, 0].mean() < 2.6
    assert bits[:, 1:].mean() < 1


def test_training_learns_that_colours_continue() -> None:
    """Images of one colour each: the first pixel has 8 bits a channel, the others are close to those before."""
    model = pixel_rnn((3, 3), 3, distribution="logistic_mixture", spread=0.1)
    generator = torch.Generator().manual_seed(0)

    def batch() -> Tensor:
        return from_levels(torch.randint(LEVELS, (32, 3, 1, 1), generator=generator)).expand(-1, -1, 3, 3).contiguous()

    train(model, batch, 300)
    with torch.no_grad():
        bits = model.bits(batch(), None) / 3
    assert bits[:, 0, 0].mean() > 7.5
    assert bits[:, 1:].mean() < 6


def test_a_conditional_model_needs_classes() -> None:
    with pytest.raises(UserError) as mistake:
        pixel_rnn(num_classes=2).sample(Noise.of_first(2, seed=0))
    assert mistake.value.key == "classes"
