"""The motion metrics of clips whose motion is known."""

import pytest
import torch
from torch import Tensor

from genimg.evaluation.metrics.motion import distribution_distance, motion


def square(rows: list[int], columns: list[int], side: int = 32) -> Tensor:
    """A clip of a bright square of 4 pixels at the given places: uint8 (1, T, 1, side, side)."""
    clip = torch.zeros(1, len(rows), 1, side, side, dtype=torch.uint8)
    for t, (row, column) in enumerate(zip(rows, columns, strict=True)):
        clip[0, t, 0, row : row + 4, column : column + 4] = 200
    return clip


def means(clips: Tensor) -> tuple[float, float, float, float]:
    found = motion(clips)
    return float(found.speed.mean()), float(found.unevenness.mean()), found.turns, found.turns_inside


def test_even_motion_has_its_speed_and_no_unevenness() -> None:
    assert means(square([0, 3, 6, 9], [2, 6, 10, 14])) == pytest.approx((5.0, 0.0, 0.0, 0.0), abs=1e-9)


def test_uneven_speed_is_its_standard_deviation() -> None:
    assert means(square([10] * 5, [0, 1, 4, 5, 8])) == pytest.approx((2.0, 1.0, 0.0, 0.0), abs=1e-9)


def test_turns_at_an_edge_and_inside_are_told_apart() -> None:
    bounce, inside = square([10] * 5, [6, 3, 0, 3, 6]), square([10] * 5, [10, 12, 14, 12, 10])
    assert motion(bounce).turns_inside == 0 and motion(inside).turns_inside == 1
    both = motion(torch.cat([bounce, inside, square([10] * 5, [2, 4, 6, 8, 10])]))
    assert both.turns_inside == 0.5 and both.turns == pytest.approx(2 / 3)


def test_distributions_of_equal_means_differ() -> None:
    even, uneven = (motion(square([10] * 5, places)).speed for places in ([0, 2, 4, 6, 8], [0, 1, 4, 5, 8]))
    assert even.mean() == uneven.mean()
    assert distribution_distance(even, uneven) == pytest.approx(1.0)
    assert distribution_distance(uneven, uneven.flip(1)) == 0


@pytest.mark.parametrize("frames", [2, 3])
def test_empty_and_short_clips_have_finite_values(frames: int) -> None:
    assert means(torch.zeros(2, frames, 1, 8, 8, dtype=torch.uint8)) == (0, 0, 0, 0)
