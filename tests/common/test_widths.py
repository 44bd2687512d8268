"""The rules of model.fit=auto on made-up tables of speeds."""

from __future__ import annotations

import pytest

from genimg.common.widths import (
    IMAGES,
    SPEEDUP,
    Trial,
    choose_batch_size,
    choose_width,
    describe,
    needed_images,
    widths_to_try,
)

WIDTHS = widths_to_try(16)


@pytest.mark.parametrize("seconds", [1, 60, 100, 300, 600, 3_600, 20_000, 10**6, 10**9])
def test_the_width_is_the_fourth_root_of_the_time_if_the_cost_of_an_image_is_the_square_of_the_width(
    seconds: float,
) -> None:
    """T s (w0 / w)^2 >= N (w / w0)^2 for all w up to w0 (T s / N)^(1/4)."""
    chosen, next_wider = choose_width(WIDTHS, 16, lambda width: 1000 * (16 / width) ** 2, lambda speed: speed * seconds)
    limit = 16 * (1000 * seconds / IMAGES) ** 0.25
    assert chosen.width == max([width for width in WIDTHS if width <= limit], default=WIDTHS[0])
    assert chosen.enough == (limit >= WIDTHS[0])
    wider = [width for width in WIDTHS if width > chosen.width]
    assert (next_wider and next_wider.width) == (wider[0] if wider else None)


def test_no_width_is_measured_whose_answer_is_known() -> None:
    measured: list[int] = []

    def speed(width: int) -> float:
        measured.append(width)
        return 1000 * 16 / width

    chosen, next_wider = choose_width(WIDTHS, 16, speed, lambda speed: 300 * speed)
    # 300,000 images at 16, of which 24 needs 225,000: 200,000 at 24 are too few, and 32 is slower still
    assert (chosen.width, measured) == (16, [16, 24])
    assert next_wider == Trial(24, 225_000, 1000 * 16 / 24, 200_000)
    measured.clear()
    chosen, next_wider = choose_width(WIDTHS, 16, speed, lambda speed: 200 * speed)
    assert (chosen.width, measured) == (16, [16]), "24 is slower than 16, whose 200,000 images are too few for 24"
    assert next_wider == Trial(24, 225_000)
    measured.clear()
    assert choose_width(WIDTHS, 16, speed, lambda speed: 60 * speed)[0].width == 12
    assert measured == [16, 12], "the first width below the default that sees enough"


def test_a_width_that_cannot_be_measured_is_not_chosen() -> None:
    fast = choose_width(WIDTHS, 16, lambda width: None if width == 32 else 10.0**9, lambda speed: speed)
    assert fast == (Trial(24, 225_000, 10.0**9, 10.0**9), Trial(32, 400_000))
    slow, next_wider = choose_width(WIDTHS, 16, lambda width: None if width == 12 else 1.0, lambda speed: speed)
    assert (slow.width, next_wider) == (8, Trial(16, IMAGES, 1.0, 1.0))
    only = choose_width(WIDTHS, 16, lambda width: 1.0 if width == 16 else None, lambda speed: speed)
    assert only == (Trial(16, IMAGES, 1.0, 1.0), None)


def test_the_default_width_needs_a_hundred_thousand_images_and_twice_the_width_four_times_as_many() -> None:
    assert needed_images(32, 32) == 100_000
    assert needed_images(64, 32) == 4 * needed_images(32, 32)


@pytest.mark.parametrize("default", [1, 5, 16, 32, 768, 16_384])
def test_the_widths_to_try_ascend_through_the_default(default: int) -> None:
    widths = widths_to_try(default)
    assert default in widths
    assert widths == sorted(set(widths))
    assert 1 <= widths[0] <= widths[-1] <= 16_384


@pytest.mark.parametrize(
    ("speeds", "chosen"),
    [
        ([100, 100, 100, 100], 64),  # a CPU, or a GPU that is busy at 64
        ([100, 190, 200, 400], 128),  # 256 is hardly faster, and 512 is not tried
        ([100, 190, 350, 600], 512),
        ([100, 100 * SPEEDUP, 100 * SPEEDUP**2 - 1, 0], 128),
        ([100, 200, None, 900], 128),  # 256 do not fit in memory
    ],
)
def test_a_batch_is_doubled_while_that_is_a_quarter_faster(speeds: list[float | None], chosen: int) -> None:
    sizes = (64, 128, 256, 512)
    assert choose_batch_size(sizes, lambda size: speeds[sizes.index(size)]) == chosen


def test_the_choice_is_described_with_the_reason_against_a_wider_network() -> None:
    chosen = Trial(24, 225_000, 410.4, 246_240)
    begin = "width 24, batches of 64: 410 images/s, about 246,000 images in 10 minutes"
    wider = Trial(32, 400_000, 200, 120_000)
    assert describe(chosen, wider, 64, 10) == f"{begin} (width 32 would see 120,000, and needs 400,000)"
    assert describe(chosen, Trial(32, 400_000), 64, 10) == f"{begin} (width 32 needs 400,000)"
    assert describe(chosen, Trial(32, 200_000), 64, 10) == f"{begin} (width 32 was not measured)"
    assert describe(chosen, None, 64, 10) == begin
    short = describe(Trial(8, 25_000, 100, 6_000), wider, 64, 1)
    assert short.endswith("about 6,000 images in 1 minute (it needs 25,000: train longer)")
