"""Generators whose images repeat without a seam: every layer commutes with shifts of the torus."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from genimg.models.networks import dcgan, r3gan, resnet, slim, stylegan2
from genimg.models.networks.periodic import roll_randomly
from genimg.models.networks.shape import ImageSize, NetworkShape

Build = Callable[[NetworkShape, Any], Any]

#: The generators of `model/network`.
GENERATORS: dict[str, Build] = {
    "slim": lambda shape, padding: slim.Generator(shape, 8, padding),
    "dcgan": lambda shape, padding: dcgan.Generator(shape, 8, padding),
    "r3gan": lambda shape, padding: r3gan.Generator(shape, 8, 2, 4, padding),
    "resnet": lambda shape, padding: resnet.Generator(shape, 8, None, False, padding),
    "resnet with attention": lambda shape, padding: resnet.Generator(shape, 8, 16, True, padding),
    "stylegan2": lambda shape, padding: stylegan2.Generator(shape, 8, 2, 0.0, 0.0, 4, 0.5, padding),
}


def shaped(size: ImageSize = 32, classes: int = 0) -> NetworkShape:
    return NetworkShape(size, 3, 8, 16, 8, 4, classes)


def generic(name: str, padding: str, size: ImageSize = 32, seed: int = 0) -> Any:
    """A generator in eval mode and in float64, with random weights, biases and statistics, and with its noise maps."""
    torch.manual_seed(seed)
    network = GENERATORS[name](shaped(size), padding).double().eval()
    for key, value in [*network.named_parameters(), *network.named_buffers()]:
        if "running_var" in key:
            value.data.uniform_(0.5, 1.5)
        elif value.is_floating_point() and (
            value.dim() == 1 or not value.any()
        ):  # biases, means, and the weights that start at 0
            value.data.copy_(0.3 * torch.randn_like(value))
        elif name == "dcgan" and value.dim() == 4:
            value.data.mul_(15)  # weights of N(0, 0.3^2)
    return network


def coarsest(network: Any) -> list[tuple[Tensor, int]]:
    """The values from which the coarsest map comes: a parameter, and the first of the two axes of the map."""
    if hasattr(network, "synthesis"):
        return [(network.synthesis.constant, 2)]
    if hasattr(network, "basis"):
        return [(network.basis, 1)]
    if hasattr(network, "first"):
        return [(network.first.weight, 2)]
    # those of a spectral normalisation include its vector
    values = [*network.fc.parameters(), *network.fc.buffers()]
    return [(one.data.view(*network.first_shape, *one.shape[1:]), 1) for one in values]


def still(network: Any) -> Any:
    """The generator without what stays in its place on the torus: the noise of StyleGAN2, and the maps of slim."""
    for layer in network.modules():
        if isinstance(layer, stylegan2.StyledConv):
            layer.strength.data.zero_()
        if isinstance(layer, slim.Stage):
            layer.maps.data.zero_()
    return network


@pytest.mark.parametrize("size", [32, (64, 32)])
@pytest.mark.parametrize("name", GENERATORS)
def test_a_shift_of_the_coarsest_map_shifts_the_image(name: str, size: ImageSize) -> None:
    """By one cell of that map, which is 8 pixels here, on either axis. Max pooling before the keys of the attention
    needs two cells."""
    network, z = still(generic(name, "circular", size)), torch.randn(2, 8).double()
    cells = 2 if "attention" in name else 1
    with torch.no_grad():
        before = network(z)
        for shift in ((cells, 0), (0, cells)):
            for values, axis in coarsest(network):
                values.data.copy_(values.data.roll(shift, (axis, axis + 1)))
            after = network(z)
            torch.testing.assert_close(after, before.roll([8 * cells for cells in shift], (2, 3)), rtol=0, atol=1e-5)
            assert (after - before).abs().mean() > 0.1 * before.std()
            before = after


def borders(name: str, padding: str) -> list[tuple[float, list[float]]]:
    """For rows and for columns: the mean difference across the border of images side by side, and those inside.

    The means are over the images of ten generators, scaled to a standard deviation of 1.
    """
    z = torch.randn(16, 8, generator=torch.Generator().manual_seed(0)).double()
    with torch.no_grad():
        images = torch.cat([one / one.std() for one in (generic(name, padding, seed=seed)(z) for seed in range(10))])
    found = []
    for lines in (images.movedim(2, 0), images.movedim(3, 0)):
        across, *inside = [float((a - b).abs().mean()) for a, b in pairwise([lines[-1], *lines])]
        found.append((across, inside))
    return found


@pytest.mark.parametrize("name", GENERATORS)
def test_images_side_by_side_have_no_seam(name: str) -> None:
    """The difference across the border is within the range of those of neighbouring lines inside; not so with zeros."""
    assert all(min(inside) <= across <= max(inside) for across, inside in borders(name, "circular"))
    assert not any(min(inside) <= across <= max(inside) for across, inside in borders(name, "zeros"))


@pytest.mark.parametrize("name", GENERATORS)
def test_a_side_that_does_not_double_exactly_is_refused(name: str) -> None:
    GENERATORS[name](shaped(50), "zeros")
    with pytest.raises(ValueError, match="multiples of 16, got 50 x 50"):
        GENERATORS[name](shaped(50), "circular")
    with pytest.raises(ValueError, match="padding must be one of zeros, circular, got 'reflect'"):
        GENERATORS[name](shaped(32), "reflect")


def test_an_image_is_rolled_as_a_whole_and_anywhere() -> None:
    torch.manual_seed(0)
    image = torch.arange(4 * 6.0).view(1, 1, 4, 6).repeat(1, 3, 1, 1)
    rolled = roll_randomly(image.repeat(500, 1, 1, 1))
    places = {tuple(divmod(int((one[0] == 0).nonzero()[0] @ torch.tensor([6, 1])), 6)) for one in rolled}
    assert len(places) == 24
    for one in rolled:
        row, column = (one[0] == 0).nonzero()[0].tolist()
        assert torch.equal(one, image[0].roll((row, column), (1, 2)))
