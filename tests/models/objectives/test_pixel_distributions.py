"""Distributions over levels: they sum to one, and their two forms agree."""

import pytest
import torch

from genimg.models.objectives.likelihoods import bounded_log_scale, discretized_logistic
from genimg.models.objectives.pixel_distributions import (
    LEVELS,
    PIXEL_DISTRIBUTIONS,
    from_levels,
    logistic_mixture,
    to_levels,
)


def test_levels_are_those_of_8_bits() -> None:
    levels = torch.arange(LEVELS)
    assert torch.equal(to_levels(from_levels(levels)), levels)
    assert from_levels(levels)[[0, -1]].tolist() == [-1, 1]


@pytest.mark.parametrize("name", PIXEL_DISTRIBUTIONS)
def test_the_masses_of_all_levels_sum_to_one_and_are_those_of_log_prob(name: str) -> None:
    distribution = PIXEL_DISTRIBUTIONS[name]
    params = 2 * torch.randn(5, distribution.size, generator=torch.Generator().manual_seed(0))
    masses = distribution.log_masses(params)
    assert masses.shape == (5, LEVELS)
    torch.testing.assert_close(masses.exp().sum(1), torch.ones(5))
    for level in (0, 1, 100, 254, 255):
        value = from_levels(torch.full((5, 2, 3), level))
        found = distribution.log_prob(params[:, :, None, None].expand(-1, -1, 2, 3), value)
        torch.testing.assert_close(found, masses[:, level, None, None].expand(5, 2, 3), rtol=1e-4, atol=1e-4)


def test_a_mixture_of_one_component_is_the_logistic() -> None:
    generator = torch.Generator().manual_seed(0)
    mean, log_scale = torch.rand(4, 1, generator=generator), torch.randn(4, 1, generator=generator)
    values = from_levels(torch.tensor([0, 255, 100, 200]))
    params = torch.cat([torch.zeros(4, 1), mean + 1, log_scale], dim=1)  # the first of the even means is -1
    expected = discretized_logistic(mean, bounded_log_scale(log_scale - 2), values[:, None])
    torch.testing.assert_close(logistic_mixture(params, values), expected, rtol=1e-4, atol=1e-4)
