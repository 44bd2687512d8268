"""What the generator and the discriminator promise at every size."""

from itertools import pairwise

import pytest
import torch
from torch import nn

from genimg.networks.blocks import ImageSize, ResidualBlock, init_convolutions, pyramid
from genimg.networks.discriminator import Discriminator
from genimg.networks.generator import Generator

SIZES: list[ImageSize] = [8, 9, 28, 50, 100, (64, 48), (8, 256), 256]


@pytest.mark.parametrize("size", SIZES)
def test_the_pyramid_halves_upwards_to_a_small_map(size: ImageSize) -> None:
    sizes = pyramid(size)
    assert all(((a + 1) // 2, (b + 1) // 2) == next_ for (a, b), next_ in pairwise(sizes))
    assert min(sizes[-1]) <= 4 < min(sizes[-2])


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("channels", [1, 3])
def test_any_size_and_channels(size: ImageSize, channels: int) -> None:
    height, width = pyramid(size)[0]
    images = Generator(8, size, channels, width=4, max_width=8)(torch.randn(2, 8))
    assert images.shape == (2, channels, height, width)
    assert Discriminator(size, channels, width=4, max_width=8)(images).shape == (2,)


@pytest.mark.parametrize(
    "network", [Generator(8, 16, 1, width=4, num_classes=3), Discriminator(16, 1, width=4, num_classes=3)]
)
def test_labels_matter_and_are_asked_for(network: nn.Module) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 8) if isinstance(network, Generator) else torch.randn(2, 1, 16, 16)
    with torch.no_grad():
        assert not torch.equal(network(x, torch.tensor([0, 1])), network(x, torch.tensor([2, 1])))
    with pytest.raises(ValueError, match="labels"):
        network(x)


def test_every_logit_depends_on_its_own_image_alone() -> None:
    """The gradient penalties are defined image by image."""
    torch.manual_seed(0)
    discriminator = Discriminator(16, 1, width=4)
    images = torch.randn(3, 1, 16, 16, requires_grad=True)
    (gradient,) = torch.autograd.grad(discriminator(images)[0], images)
    assert gradient[0].abs().sum() > 0
    assert gradient[1:].abs().sum() == 0


def test_blocks_start_as_the_identity() -> None:
    block = ResidualBlock(4)
    init_convolutions(block)
    x = torch.randn(2, 4, 5, 5)
    assert torch.equal(block(x), x)
