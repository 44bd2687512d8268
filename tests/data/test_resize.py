"""Fitting images to a size."""

import pytest

from genimg.data.resize import crop_box


@pytest.mark.parametrize("target", [(100, 100), (50, 50), (64, 48), (28, 28), (7, 250)])
def test_a_crop_lies_inside_the_image_and_has_the_aspect_ratio(target: tuple[int, int]) -> None:
    for height in range(1, 301, 7):
        for width in range(1, 301):
            left, top, right, bottom = crop_box((height, width), target)
            assert 0 <= left < right <= width and 0 <= top < bottom <= height
            assert (right - left) / (bottom - top) == pytest.approx(target[1] / target[0])
            assert right - left == pytest.approx(width) or bottom - top == pytest.approx(height)
