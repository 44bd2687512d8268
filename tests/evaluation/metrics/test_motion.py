"""The motion metrics of clips whose motion is known."""

import pytest
import torch
from torch import Tensor

from genimg.evaluation.metrics.motion import motion


def square(rows: list[int], columns: list[int], side: int = 32) -> Tensor:
    """A clip of a bright square of 4 pixels at the given places: uint8 (1, T, 1, side, side)."""
    clip = torch.zeros(1, len(rows), 1, side, side, dtype=torch.uint8)
    for t, (row, column) in enumerate(zip(rows, columns, strict=True)):
        clip[0, t, 0, row : row + 4, column : column + 4] = 200
    return clip


def test_even_motion_has_its_speed_and_no_unevenness() -> None:
    found = motion(square([0, 3, 6, 9], [2, 6, 10, 14]))
    assert found == pytest.approx((5.0, 0.0, 0.0), abs=1e-9)


def test_uneven_speed_is_its_standard_deviation() -> None:
    found = motion(square([10] * 5, [0, 1, 4, 5, 8]))
    assert found == pytest.approx((2.0, 1.0, 0.0), abs=1e-9)


def test_turns_at_an_edge_and_inside_are_told_apart() -> None:
    bounce, inside = square([10] * 5, [6, 3, 0, 3, 6]), square([10] * 5, [10, 12, 14, 12, 10])
    assert motion(bounce).turns_inside == 0 and motion(inside).turns_inside == 1
    assert motion(torch.cat([bounce, inside])).turns_inside == 0.5


@pytest.mark.parametrize("frames", [2, 3])
def test_empty_and_short_clips_have_finite_values(frames: int) -> None:
    assert motion(torch.zeros(2, frames, 1, 8, 8, dtype=torch.uint8)) == (0, 0, 0)
