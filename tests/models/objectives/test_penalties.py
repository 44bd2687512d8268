"""Laws of the gradient penalties, on critics whose gradient is known."""

import pytest
import torch
from torch import Tensor

from genimg.models.objectives.penalties import (
    squared_gradient,
    squared_gradient_estimate,
    unit_gradient,
    unit_gradient_estimate,
)

GENERATOR = torch.Generator().manual_seed(0)
WEIGHT = torch.randn(2, 5, 4, generator=GENERATOR)
IMAGES = torch.randn(6, 2, 5, 4, generator=GENERATOR)


def linear(images: Tensor) -> Tensor:
    return (images * WEIGHT).flatten(1).sum(1)


def quadratic(images: Tensor) -> Tensor:
    return 0.5 * images.square().flatten(1).sum(1)


def test_the_penalty_of_a_linear_critic_is_its_squared_weight() -> None:
    torch.testing.assert_close(squared_gradient(linear, IMAGES), WEIGHT.square().sum().expand(6))


def test_the_penalty_of_an_image_does_not_depend_on_the_batch() -> None:
    torch.testing.assert_close(squared_gradient(quadratic, IMAGES), IMAGES.square().flatten(1).sum(1))


def test_the_penalty_estimate_is_unbiased() -> None:
    draws = 4000
    images = IMAGES[:1].expand(draws, -1, -1, -1)
    generator = torch.Generator().manual_seed(1)
    estimates = squared_gradient_estimate(linear, images, 0.01, 1, generator)
    standard_error = estimates.std() / draws**0.5
    assert abs(estimates.mean() - WEIGHT.square().sum()) < 4 * standard_error


def test_more_directions_reduce_the_variance_of_the_estimate() -> None:
    images = IMAGES[:1].expand(2000, -1, -1, -1)
    generator = torch.Generator().manual_seed(1)
    one, four = (squared_gradient_estimate(linear, images, 0.01, k, generator).var() for k in (1, 4))
    assert four / one == pytest.approx(1 / 4, rel=0.2)


def test_the_estimate_has_no_error_from_the_curvature() -> None:
    """On a quadratic critic, differences of two opposite points are exact in each direction."""
    near, far = (
        squared_gradient_estimate(quadratic, IMAGES, step, 1, torch.Generator().manual_seed(1)) for step in (0.01, 0.5)
    )
    torch.testing.assert_close(near, far, rtol=1e-3, atol=1e-3)


def test_the_unit_penalty_is_zero_for_a_slope_of_one() -> None:
    unit = WEIGHT / WEIGHT.norm()
    penalty = unit_gradient(lambda x: (x * unit).flatten(1).sum(1), IMAGES)
    torch.testing.assert_close(penalty, torch.zeros(6), atol=1e-6, rtol=0)
    doubled = unit_gradient(lambda x: (x * 2 * unit).flatten(1).sum(1), IMAGES)
    torch.testing.assert_close(doubled, torch.ones(6), atol=1e-5, rtol=0)


@pytest.mark.parametrize("directions", [1, 3])
@pytest.mark.parametrize("slope", [0.5, 1.0, 3.0])
def test_the_estimate_of_the_unit_penalty_is_unbiased(slope: float, directions: int) -> None:
    draws, weight = 8000, slope * WEIGHT / WEIGHT.norm()
    images = IMAGES[:1].expand(draws, -1, -1, -1)
    generator = torch.Generator().manual_seed(1)
    estimates = unit_gradient_estimate(lambda x: (x * weight).flatten(1).sum(1), images, 0.01, directions, generator)
    assert abs(estimates.mean() - (slope - 1) ** 2) < 4 * estimates.std() / draws**0.5


def test_the_penalties_have_a_gradient_in_the_critics_weights() -> None:
    weight = WEIGHT.clone().requires_grad_()
    squared_gradient(lambda x: (x * weight).flatten(1).sum(1), IMAGES).mean().backward()
    torch.testing.assert_close(weight.grad, 2 * WEIGHT)
