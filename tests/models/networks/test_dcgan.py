"""DCGAN: the size of the published network and every image size."""

import pytest
import torch

from genimg.models.networks.dcgan import Discriminator, Generator
from genimg.models.networks.shape import ImageSize, NetworkShape


def test_the_published_network_has_as_many_parameters() -> None:
    shape = NetworkShape(64, 3, 32, 512, 512, 4)
    counts = [
        sum(p.numel() for p in net.parameters()) for net in (Generator(shape, 100, "zeros"), Discriminator(shape))
    ]
    assert counts == [3_576_704, 2_765_568]  # pytorch/examples


@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize("size", [8, 9, 28, 50, 100, (64, 48), (8, 256)])
def test_outputs_have_the_right_shape(size: ImageSize, classes: int) -> None:
    shape = NetworkShape(size, 3, 4, 8, 8, 4, classes)
    labels = torch.tensor([0, 2]) if classes else None
    images = Generator(shape, 8, "zeros")(torch.randn(2, 8), labels)
    assert images.shape == (2, 3, *shape.height_width)
    assert Discriminator(shape)(images, labels).shape == (2,)
