"""What the generator, the discriminator and the encoder promise at every size."""

from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import nn

from genimg.common.limits import SIDES
from genimg.models.networks.blocks import ImageSize, as_pair, pyramid
from genimg.models.networks.discriminator import Discriminator
from genimg.models.networks.encoder import Encoder
from genimg.models.networks.generator import Generator
from genimg.models.networks.trunk import Trunk

SIZES: list[ImageSize] = [8, 9, 28, 50, 100, (64, 48), (8, 256), 256]


@pytest.mark.parametrize("size", SIZES)
def test_the_pyramid_halves_upwards_to_a_small_map(size: ImageSize) -> None:
    sizes = pyramid(size, smallest=4)
    assert all(((a + 1) // 2, (b + 1) // 2) == next_ for (a, b), next_ in pairwise(sizes))
    assert min(sizes[-1]) <= 4 < min(sizes[-2])


def sizes(image_size: ImageSize, channels: int = 1, smallest: int = 4) -> dict[str, Any]:
    """Arguments of every network, all of them small."""
    return {
        "image_size": image_size, "channels": channels, "width": 4, "max_width": 8, "hidden": 8, "smallest": smallest,
    }  # fmt: skip


@pytest.mark.parametrize("smallest", [1, 4, 7])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("channels", [1, 3])
def test_any_size_and_channels(size: ImageSize, channels: int, smallest: int) -> None:
    images = Generator(8, **sizes(size, channels, smallest))(torch.randn(2, 8))
    assert images.shape == (2, channels, *as_pair(size))
    assert Discriminator(**sizes(size, channels, smallest))(images).shape == (2,)
    mean, log_var = Encoder(8, **sizes(size, channels, smallest))(images)
    assert mean.shape == log_var.shape == (2, 8)


@pytest.mark.parametrize(
    "network",
    [
        Generator(8, **sizes(16), num_classes=3),
        Discriminator(**sizes(16), num_classes=3),
        Encoder(8, **sizes(16), num_classes=3),
    ],
    ids=lambda network: type(network).__name__,
)
def test_labels_matter_and_are_asked_for(network: nn.Module) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 8) if isinstance(network, Generator) else torch.randn(2, 1, 16, 16)
    with torch.no_grad():
        here, there = (network(x, torch.tensor(labels)) for labels in ([0, 1], [2, 1]))
        here, there = (out[0] if isinstance(out, tuple) else out for out in (here, there))
        assert not torch.equal(here[0], there[0]) and torch.equal(here[1], there[1])
    with pytest.raises(ValueError, match="labels"):
        network(x)


@pytest.mark.parametrize("size", [16, 9, (15, 10)])
def test_every_pixel_is_seen(size: ImageSize) -> None:
    """The last line of an odd size too."""
    torch.manual_seed(0)
    image = torch.randn(1, 1, *as_pair(size), requires_grad=True)
    (gradient,) = torch.autograd.grad(Trunk(**sizes(size))(image).sum(), image)
    assert (gradient != 0).all()


def test_every_logit_depends_on_its_own_image_alone() -> None:
    """The gradient penalties are defined image by image."""
    torch.manual_seed(0)
    discriminator = Discriminator(**sizes(16))
    images = torch.randn(3, 1, 16, 16, requires_grad=True)
    (gradient,) = torch.autograd.grad(discriminator(images)[0], images)
    assert gradient[0].abs().sum() > 0
    assert gradient[1:].abs().sum() == 0


def test_networks_refuse_what_the_command_line_refuses() -> None:
    for wrong in (SIDES[0] - 1, SIDES[1] + 1, [8, 10**9]):
        with pytest.raises(ValueError, match="pixels"):
            pyramid(wrong, smallest=4)
    with pytest.raises(ValueError, match="smallest"):
        pyramid(8, smallest=0)
