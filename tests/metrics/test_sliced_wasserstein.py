"""The sliced Wasserstein distance orders degraded sets rightly."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from genimg.metrics.sliced_wasserstein import laplacian_pyramid, sliced_wasserstein


def distance(a: Tensor, b: Tensor) -> float:
    return sliced_wasserstein(a, b, torch.Generator().manual_seed(0))


def pictures(count: int, seed: int) -> Tensor:
    """Soft blobs at random places."""
    generator = torch.Generator().manual_seed(seed)
    return F.avg_pool2d(torch.randn(count, 1, 34, 34, generator=generator), 3, stride=1)


def test_identical_sets_are_at_zero() -> None:
    assert distance(pictures(64, 0), pictures(64, 0)) == 0


@pytest.mark.parametrize("size", [8, 9, 28, 50])
def test_any_size(size: int) -> None:
    images = torch.rand(4, 3, size, size)
    assert distance(images, images.flip(0)) >= 0


def test_noise_blur_and_shift_are_all_farther_than_another_draw() -> None:
    real, other = pictures(256, 0), pictures(256, 1)
    floor = distance(other, real)
    noisy = other + 0.3 * torch.randn(other.shape, generator=torch.Generator().manual_seed(2))
    blurred = F.avg_pool2d(other, 3, stride=1, padding=1)
    for degraded in (noisy, blurred, other + 0.3, other * 0.5):
        assert distance(degraded, real) > 3 * floor


def test_more_noise_is_farther() -> None:
    real, other = pictures(256, 0), pictures(256, 1)
    noise = torch.randn(other.shape, generator=torch.Generator().manual_seed(2))
    distances = [distance(other + level * noise, real) for level in (0.0, 0.1, 0.3, 1.0)]
    assert distances == sorted(distances)


def test_the_pyramid_adds_up_to_the_image() -> None:
    image = torch.rand(2, 1, 32, 32)
    fine, middle, coarse = laplacian_pyramid(image)
    for level in (middle, fine):
        coarse = level + F.interpolate(coarse, size=level.shape[-2:], mode="bilinear", align_corners=False)
    torch.testing.assert_close(coarse, image)
