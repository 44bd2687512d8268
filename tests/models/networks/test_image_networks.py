"""The generator and discriminator of slim, the encoder and decoder of conv, at every image size."""

from itertools import pairwise

import pytest
import torch
from torch import nn

from genimg.common.limits import SIDES
from genimg.models.networks.conv import Backbone, Decoder, Encoder
from genimg.models.networks.shape import ImageSize, NetworkShape
from genimg.models.networks.slim import Discriminator, Generator, Stage

SIZES: list[ImageSize] = [8, 9, 28, 50, 100, (64, 48), (8, 256), 256]


@pytest.mark.parametrize("size", SIZES)
def test_resolutions_halve_and_round_up_to_a_small_map(size: ImageSize) -> None:
    sizes = small(size).resolutions()
    assert all(((a + 1) // 2, (b + 1) // 2) == next_ for (a, b), next_ in pairwise(sizes))
    assert min(sizes[-1]) <= 4 < min(sizes[-2])


def small(image_size: ImageSize, channels: int = 1, smallest: int = 4, num_classes: int = 0) -> NetworkShape:
    return NetworkShape(image_size, channels, 4, 8, 8, smallest, num_classes)


@pytest.mark.parametrize("smallest", [1, 4, 7])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("channels", [1, 3])
def test_outputs_have_the_right_shape_for_every_size_and_channels(
    size: ImageSize, channels: int, smallest: int
) -> None:
    shape = small(size, channels, smallest)
    for network in (Generator(shape, 8, "zeros"), Decoder(shape, 8)):
        images = network(torch.randn(2, 8))
        assert images.shape == (2, channels, *shape.height_width)
    images = torch.randn(2, channels, *shape.height_width)
    assert Discriminator(shape)(images).shape == (2,)
    mean, log_var = Encoder(shape, 8)(images)
    assert mean.shape == log_var.shape == (2, 8)


@pytest.mark.parametrize(
    "network",
    [
        Generator(small(16, num_classes=3), 8, "zeros").eval(),  # without batch statistics
        Decoder(small(16, num_classes=3), 8),
        Discriminator(small(16, num_classes=3)),
        Encoder(small(16, num_classes=3), 8),
    ],
    ids=lambda network: type(network).__name__,
)
def test_labels_are_required_and_change_the_output(network: nn.Module) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 8) if isinstance(network, Generator | Decoder) else torch.randn(2, 1, 16, 16)
    with torch.no_grad():
        here, there = (network(x, torch.tensor(labels)) for labels in ([0, 1], [2, 1]))
        here, there = (out[0] if isinstance(out, tuple) else out for out in (here, there))
        assert not torch.equal(here[0], there[0]) and torch.equal(here[1], there[1])
    with pytest.raises(ValueError, match="labels"):
        network(x)


@pytest.mark.parametrize("size", [16, 9, (15, 10)])
def test_every_pixel_affects_the_features(size: ImageSize) -> None:
    """Including the last line of an odd size."""
    torch.manual_seed(0)
    image = torch.randn(1, 1, *small(size).height_width, requires_grad=True)
    (gradient,) = torch.autograd.grad(Backbone(small(size))(image).sum(), image)
    assert (gradient != 0).all()


def test_a_logit_does_not_depend_on_the_other_images_of_the_batch() -> None:
    """Gradient penalties are defined per image."""
    torch.manual_seed(0)
    discriminator = Discriminator(small(16))
    images = torch.randn(3, 1, 16, 16, requires_grad=True)
    (gradient,) = torch.autograd.grad(discriminator(images)[0], images)
    assert gradient[0].abs().sum() > 0
    assert gradient[1:].abs().sum() == 0


def test_a_place_is_judged_by_what_is_around_it_and_an_image_by_everything() -> None:
    torch.manual_seed(0)
    discriminator = Discriminator(small(32))
    images = torch.randn(1, 1, 32, 32, requires_grad=True)
    judged = discriminator.judge(images)
    torch.testing.assert_close(judged[:, 0], discriminator(images))
    places = judged[:, 1:].unflatten(1, (8, 8))
    (gradient,) = torch.autograd.grad(places[0, 0, 0], images, retain_graph=True)
    assert gradient[0, 0, :4, :4].abs().min() > 0 and gradient[0, 0, 16:].abs().sum() == 0
    (gradient,) = torch.autograd.grad(judged[0, 0], images)
    assert (gradient != 0).all()


def test_a_network_shape_refuses_values_that_the_command_line_refuses() -> None:
    for wrong in (SIDES[0] - 1, SIDES[1] + 1, [8, 10**9]):
        with pytest.raises(ValueError, match="pixels"):
            small(wrong)
    with pytest.raises(ValueError, match="smallest"):
        small(8, smallest=0)
    for wrong in (-1, 10**12):
        with pytest.raises(ValueError, match="channels"):
            small(8, channels=wrong)


def test_a_stage_of_slim_tells_places_apart_by_as_much_as_its_style_says() -> None:
    """Features that are equal everywhere stay equal without maps, so that a network could draw level lines only."""
    torch.manual_seed(0)
    stage = Stage(4, 4, (16, 16), 8, "circular").eval()
    nn.init.zeros_(stage.style.bias)
    flat, style = torch.randn(2, 4, 1, 1).expand(-1, -1, 16, 16), torch.randn(2, 8)
    with torch.no_grad():
        spread = [stage(flat, strength * style).flatten(2).std(dim=2) for strength in (0.0, 0.1, 1.0)]
    assert spread[0].max() < 1e-6
    assert (spread[2] > spread[1]).float().mean() > 0.8 and spread[1].min() > 0
