"""Weight normalisation: the same network at first, and steps whose size does not depend on the width."""

from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn

from genimg.models.networks.shape import NetworkShape
from genimg.models.networks.slim import Discriminator, Generator
from genimg.models.networks.weight_norm import normalise_weights

IMAGES = torch.rand(16, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1


def discriminator(width: int, weight_norm: bool) -> Discriminator:
    torch.manual_seed(0)
    shape = NetworkShape(
        image_size=8, channels=1, width=width, max_width=4 * width, hidden=32, smallest=4, num_classes=0
    )
    network = Discriminator(shape)
    if weight_norm:
        normalise_weights(network)
    return network


@torch.no_grad()
def logits(network: Discriminator) -> Tensor:
    return network(IMAGES)


def test_the_outputs_of_the_initial_networks_stay_as_they_are() -> None:
    torch.testing.assert_close(logits(discriminator(16, True)), logits(discriminator(16, False)))
    shape = NetworkShape(image_size=8, channels=1, width=8, max_width=16, hidden=16, smallest=4, num_classes=3)
    plain = Generator(shape, 4, "zeros").eval()
    normed = deepcopy(plain)
    normalise_weights(normed)
    z, labels = torch.randn(5, 4), torch.tensor([0, 1, 2, 0, 1])
    torch.testing.assert_close(normed(z, labels), plain(z, labels))
    torch.testing.assert_close(normed.style_weights(), plain.style_weights())


def change(width: int, weight_norm: bool) -> float:
    """How much some steps of Adam change the logits, in standard deviations of the initial logits."""
    network = discriminator(width, weight_norm)
    before = logits(network)
    optimizer = torch.optim.Adam(network.parameters(), 1.6e-3, betas=(0.0, 0.95))
    for _ in range(4):
        optimizer.zero_grad()
        real, fake = network(IMAGES).chunk(2)
        nn.functional.softplus(fake - real).mean().backward()
        optimizer.step()
    return float((logits(network) - before).std() / before.std())


def test_a_step_changes_a_wide_network_as_much_as_a_narrow_one() -> None:
    """The coordinate check of Yang et al. 2022, appendix D.1."""
    assert change(256, weight_norm=False) > 4 * change(16, weight_norm=False)
    assert change(256, weight_norm=True) == pytest.approx(change(16, weight_norm=True), rel=0.6)
