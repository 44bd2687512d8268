"""R3GAN: the published network in size and in value, its variance through depth, and every image size."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genimg.models.networks.r3gan import Block, Discriminator, Generator, scaled
from genimg.models.networks.resampling import Downsample, Upsample
from genimg.models.networks.shape import ImageSize, NetworkShape


def count(network: nn.Module) -> int:
    return sum(weight.numel() for weight in network.parameters())


@pytest.mark.parametrize(("classes", "sizes"), [(10, (20_781_952, 21_280_512)), (0, (20_732_160, 20_683_776))])
def test_the_published_cifar10_network_has_as_many_parameters(classes: int, sizes: tuple[int, int]) -> None:
    """As counted in the official code with its preset CIFAR10."""
    shape = NetworkShape(32, 3, 768, 768, 768, 4, classes)
    with torch.device("meta"):
        assert (count(Generator(shape, 64, 2, 16, "zeros")), count(Discriminator(shape, 2, 16))) == sizes


@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize("size", [8, 9, 28, 50, 100, (64, 48), (8, 256)])
def test_outputs_have_the_right_shape(size: ImageSize, classes: int) -> None:
    shape = NetworkShape(size, 3, 4, 8, 8, 4, classes)
    labels = torch.tensor([0, 2]) if classes else None
    images = Generator(shape, 8, 1, 4, "zeros")(torch.randn(2, 8), labels)
    assert images.shape == (2, 3, *shape.height_width)
    assert Discriminator(shape, 1, 4)(images, labels).shape == (2,)


class Reference:
    """The networks of the paper as functions of weights, which are taken in the order in which they are used."""

    def __init__(self, network: nn.Module) -> None:
        # the class embedding is the first parameter in use of G, and the last but one of D
        self.weights = [weight.detach() for name, weight in network.named_parameters() if name != "embedding.weight"]
        self.classes = dict(network.named_parameters())["embedding.weight"].detach()

    def take(self) -> Tensor:
        return self.weights.pop(0)

    def block(self, x: Tensor, group_width: int) -> Tensor:
        h = F.leaky_relu(torch.einsum("bchw,dc->bdhw", x, self.take()[..., 0, 0]) + self.take()[:, None, None], 0.2)
        weight, bias = self.take(), self.take()
        parts = zip(h.split(group_width, 1), weight.split(group_width), strict=True)
        h = torch.cat([F.conv2d(part, part_weight, padding=1) for part, part_weight in parts], 1)
        h = F.leaky_relu(h + bias[:, None, None], 0.2)
        return x + torch.einsum("bchw,dc->bdhw", h, self.take()[..., 0, 0])

    def pointwise(self, x: Tensor) -> Tensor:
        return torch.einsum("bchw,dc->bdhw", x, self.take()[..., 0, 0])

    def generate(self, z: Tensor, labels: Tensor, stages: int, blocks: int, group_width: int) -> Tensor:
        basis, modulation = self.take(), self.take()
        h = basis * (torch.cat([z, self.classes[labels]], 1) @ modulation.T)[:, :, None, None]
        for stage in range(stages):
            if stage:
                h = resample(self.pointwise(h), 2)
            for _ in range(blocks):
                h = self.block(h, group_width)
        return self.pointwise(h)

    def judge(self, x: Tensor, labels: Tensor, stages: int, blocks: int, group_width: int) -> Tensor:
        h = self.pointwise(x)
        for stage in range(stages):
            for _ in range(blocks):
                h = self.block(h, group_width)
            if stage < stages - 1:
                h = self.pointwise(resample(h, 0.5))
        h = torch.einsum("bchw,chw->bc", h, self.take()[:, 0])
        return ((h @ self.take().T) * self.classes[labels]).sum(1)


def resample(x: Tensor, factor: float) -> Tensor:
    """Zeros between pixels, or every second pixel, and the filter [1, 3, 3, 1] on both axes, as matrices."""
    for axis in (2, 3):
        size = x.shape[axis]
        matrix = torch.zeros(round(size * factor), size, dtype=x.dtype)
        for i in range(round(size * min(factor, 1))):
            for tap, value in zip(range(-1, 3), (1, 3, 3, 1), strict=True):
                fine, coarse = 2 * i + tap, i
                if 0 <= fine < max(matrix.shape):
                    row, column = (fine, coarse) if factor > 1 else (coarse, fine)
                    matrix[row, column] += value / (4 if factor > 1 else 8)
        x = (x.movedim(axis, -1) @ matrix.T).movedim(-1, axis)
    return x


def random_network(network: nn.Module) -> nn.Module:
    """The network in float64 with all weights random, so that no block is the identity."""
    torch.manual_seed(0)
    for weight in network.parameters():
        nn.init.normal_(weight, std=0.3)
    return network.double()


def test_outputs_equal_those_of_a_reference_with_the_same_weights() -> None:
    shape = NetworkShape(16, 3, 4, 16, 12, 4, 3)  # widths 4, 8 and 16: each change of width has a projection
    generator, discriminator = (
        random_network(Generator(shape, 6, 2, 4, "zeros")),
        random_network(Discriminator(shape, 2, 4)),
    )
    z, labels = torch.randn(3, 6, dtype=torch.float64), torch.tensor([0, 2, 1])
    images = generator(z, labels)
    torch.testing.assert_close(images, Reference(generator).generate(z, labels, 3, 2, 4))
    torch.testing.assert_close(discriminator(images, labels), Reference(discriminator).judge(images, labels, 3, 2, 4))


@pytest.mark.parametrize("depth", [1, 4, 16])
def test_the_variance_does_not_grow_with_depth(depth: int) -> None:
    """Each branch multiplies the variance by 1 + 1 / L, if its last layer keeps the variance: by at most e in all."""
    torch.manual_seed(0)
    blocks = [Block(64, 16, depth) for _ in range(depth)]
    x = torch.randn(8, 64, 12, 12)
    h = x
    for block in blocks:
        scaled(block.reduce)
        h = block(h)
    grown = float((h.var() / x.var()).detach())
    assert grown == pytest.approx((1 + 1 / depth) ** depth, rel=0.15)
    assert grown < 1.1 * np.e


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
