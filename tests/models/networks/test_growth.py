"""Progressive growing: when a size starts, what it changes, and which images are trained on."""

from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from genimg.common.errors import UserError
from genimg.models.gan import GAN
from genimg.models.networks.growth import FULL, Level, halved, level_at
from genimg.models.networks.shape import ImageSize, NetworkShape
from genimg.models.networks.slim import Discriminator, Generator
from tests.models.test_gan import train
from tests.trained import untrained


def test_every_size_starts_with_the_image_of_the_smaller_one_and_fades_it_out() -> None:
    levels = [level_at(step / 1000, full_from=0.4, num_sizes=3) for step in range(1001)]
    assert levels[0] == Level(2, 0.0) and levels[-1] == FULL
    starts = [levels.index(next(level for level in levels if level.halvings == halvings)) for halvings in (1, 0)]
    assert starts == [50, 400]
    assert all(levels[start].blend == pytest.approx(1) for start in starts)
    for before, after in pairwise(levels):
        if after.halvings == before.halvings:
            assert 0 <= before.blend - after.blend < 0.02
    assert all(level == FULL for level in levels[501:])
    assert level_at(0.0, full_from=0.0, num_sizes=3) == level_at(0.0, full_from=0.4, num_sizes=1) == FULL


@pytest.mark.parametrize("size", [64, 50, (64, 48)])
def test_a_new_size_changes_nothing_at_its_start(size: ImageSize) -> None:
    torch.manual_seed(0)
    shape = NetworkShape(size, 3, 4, 8, 8, 4, 3)
    generator, discriminator = Generator(shape, 4).eval(), Discriminator(shape)
    z, labels, images = torch.randn(2, 4), torch.tensor([0, 2]), torch.randn(2, 3, *shape.height_width)
    for halvings in range(shape.num_sizes() - 1):
        small, grown = generator(z, labels, Level(halvings + 1, 0.0)), generator(z, labels, Level(halvings, 1.0))
        enlarged = torch.nn.functional.interpolate(small, size=grown.shape[2:], mode="bilinear", align_corners=False)
        torch.testing.assert_close(grown, enlarged)
        x = halved(images, halvings)
        assert x.shape[2:] == grown.shape[2:]
        logits = discriminator(halved(x), labels, Level(halvings + 1, 0.0))
        torch.testing.assert_close(discriminator(x, labels, Level(halvings, 1.0)), logits)
    torch.testing.assert_close(generator(z, labels, FULL), generator(z, labels))


def test_halving_takes_the_mean_of_the_pixels_that_exist() -> None:
    images = torch.arange(9.0).view(1, 1, 3, 3)
    assert halved(images).flatten().tolist() == [2.0, 3.5, 6.5, 8.0]
    assert halved(images, 2).flatten().tolist() == [5.0]


@pytest.mark.parametrize(("progress", "side"), [(0.0, 16), (0.1, 32), (0.3, 32), (0.45, 64), (0.9, 64)])
def test_a_step_trains_at_the_size_of_its_progress(progress: float, side: int) -> None:
    model = untrained("model=gan", "data.image_size=64", "model.full_size_from=0.4")[1]
    assert isinstance(model, GAN)
    seen: list[Tensor] = []
    model.discriminator.register_forward_hook(lambda network, inputs, output: seen.append(inputs[0]))
    model.progress = progress
    batch: Any = {"images": torch.rand(4, 1, 64, 64), "labels": torch.zeros(4, dtype=torch.int64)}
    metrics = model.evaluate(batch, noise=None)  # pyright: ignore[reportArgumentType]
    assert seen[-1].shape[2:] == (side, side) and metrics["real_logits"].shape == (4,)
    assert model.decode(torch.randn(2, model.latent_dim)).shape == (2, 1, 64, 64), "samples always have full size"


@pytest.mark.parametrize("progress", [0.0, 0.06, 0.2, 0.42, 0.9])
def test_a_step_moves_the_weights_of_its_sizes_and_no_others(progress: float) -> None:
    model = untrained("model=gan", "data.image_size=64", "model.full_size_from=0.4")[1]
    assert isinstance(model, GAN)
    level, num_sizes = level_at(progress, 0.4, 3), 3
    used = {level.halvings} | ({level.halvings + 1} if level.blend > 0 else set())
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    step = model.training_step

    def at_progress(batch: Any, batch_idx: int) -> dict[str, Tensor]:
        model.progress = progress
        return step(batch, batch_idx)

    model.training_step = at_progress
    train(model, torch.rand(4, 1, 64, 64) * 2 - 1, steps=2)
    moved = {name for name, weight in model.named_parameters() if not torch.equal(weight, before[name])}
    for halvings in range(num_sizes):
        part = f"smaller.{halvings - 1}." if halvings else "to_image"
        assert any(part in name for name in moved) == (halvings in used)
        part = f"from_smaller.{halvings - 1}." if halvings else "from_image"
        assert any(part in name for name in moved) == (halvings in used)


@pytest.mark.parametrize("network", ["dcgan", "r3gan", "resnet", "stylegan2"])
def test_networks_of_one_size_refuse_to_grow(network: str) -> None:
    words = ["model=gan", f"model/network={network}"]
    assert isinstance(untrained(*words)[1], GAN)
    with pytest.raises(UserError, match="train at one size"):
        untrained(*words, "model.full_size_from=0.4")
