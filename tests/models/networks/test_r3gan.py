"""R3GAN: the size of the published network, blocks that start as the identity, and every image size."""

import pytest
import torch
from torch import nn

from genimg.models.networks.r3gan import Block, Discriminator, Generator
from genimg.models.networks.resampling import Downsample, Upsample
from genimg.models.networks.shape import ImageSize, NetworkShape


def count(network: nn.Module) -> int:
    return sum(weight.numel() for weight in network.parameters())


@pytest.mark.parametrize(("classes", "sizes"), [(10, (20_781_952, 21_280_512)), (0, (20_732_160, 20_683_776))])
def test_the_published_cifar10_network_has_as_many_parameters(classes: int, sizes: tuple[int, int]) -> None:
    """As counted in the official code with its preset CIFAR10."""
    shape = NetworkShape(32, 3, 768, 768, 768, 4, classes)
    with torch.device("meta"):
        assert (count(Generator(shape, 64, 2, 16)), count(Discriminator(shape, 2, 16))) == sizes


@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize("size", [8, 9, 28, 50, 100, (64, 48), (8, 256)])
def test_outputs_have_the_right_shape(size: ImageSize, classes: int) -> None:
    shape = NetworkShape(size, 3, 4, 8, 8, 4, classes)
    labels = torch.tensor([0, 2]) if classes else None
    images = Generator(shape, 8, 1, 4)(torch.randn(2, 8), labels)
    assert images.shape == (2, 3, *shape.height_width)
    assert Discriminator(shape, 1, 4)(images, labels).shape == (2,)


def test_a_block_starts_as_the_identity() -> None:
    x = torch.randn(2, 8, 5, 5)
    assert torch.equal(Block(8, 4, depth=3)(x), x)


def test_enlarging_is_the_adjoint_of_reducing() -> None:
    """<up(x), y> = 4 <x, down(y)> for even sizes; a constant stays constant away from the border."""
    torch.manual_seed(0)
    x, y = torch.randn(1, 2, 4, 3), torch.randn(1, 2, 8, 6)
    torch.testing.assert_close((Upsample((8, 6))(x) * y).sum(), 4 * (x * Downsample()(y)).sum())
    torch.testing.assert_close(Downsample()(torch.ones(1, 1, 9, 9))[..., 1:-1, 1:-1], torch.ones(1, 1, 3, 3))


def test_a_group_width_that_does_not_divide_is_an_error() -> None:
    with pytest.raises(ValueError, match="group_width must divide 16"):
        Block(8, 3, depth=1)
