"""Moving, composing and measuring image layers."""

import pytest
import torch

from genimg.models.networks.transport import bend, centroid_and_extent, composite, filterbank, measure_shifts, move


def image(seed: int = 0) -> torch.Tensor:
    """A blob of noise in the middle of an empty image, (1, 1, 1, 16, 20)."""
    blob = torch.zeros(1, 1, 1, 16, 20)
    blob[..., 5:11, 6:13] = torch.rand(6, 7, generator=torch.Generator().manual_seed(seed))
    return blob


@pytest.mark.parametrize(("down", "right"), [(0, 0), (3, -4), (-5, 6)])
def test_a_shift_by_whole_pixels_is_exact(down: int, right: int) -> None:
    shift = torch.tensor([down / 16, right / 20]).view(1, 1, 1, 2)
    moved = move(image(), shift, torch.full((1, 1, 1), 0.2))[0, 0, 0]
    torch.testing.assert_close(moved, image()[0, 0].roll((down, right), (-2, -1)), atol=1e-4, rtol=0)


@pytest.mark.parametrize("sigma", [0.25, 0.6, 1.5, 4.0])
@pytest.mark.parametrize("shift", [0.0, 0.3, 0.5])
def test_the_kernel_sums_to_one_at_every_shift_and_width(sigma: float, shift: float) -> None:
    bank = filterbank(torch.tensor(shift), torch.tensor(sigma), 64)
    torch.testing.assert_close(bank[30:34].sum(1), torch.ones(4), atol=1e-5, rtol=0)


def test_no_weight_is_so_small_that_products_are_slow() -> None:
    bank = filterbank(torch.linspace(-70, 70, 141), torch.linspace(0.25, 9, 141), 64)
    assert not ((bank > 0) & (bank < torch.finfo(bank.dtype).tiny)).any()
    assert bank[70, 0, 63] == 0


@pytest.mark.parametrize("sigma", [0.25, 1.5])
def test_a_weight_is_the_normal_density_at_the_distance_from_the_source(sigma: float) -> None:
    bank = filterbank(torch.tensor(2.3), torch.tensor(sigma), 64)[30]
    density = torch.exp(-0.5 * ((torch.arange(64) - (30 - 2.3)) / sigma).square())
    torch.testing.assert_close(bank, density / density.sum(), atol=1e-6, rtol=0)


def test_pixels_moved_in_from_outside_are_zero() -> None:
    white = torch.ones(1, 1, 1, 16, 20)
    moved = move(white, torch.tensor([0.5, 0.0]).view(1, 1, 1, 2), torch.full((1, 1, 1), 0.25))[0, 0, 0, 0]
    torch.testing.assert_close(moved[:8], torch.zeros(8, 20), atol=1e-3, rtol=0)
    torch.testing.assert_close(moved[8:], torch.ones(8, 20), atol=1e-3, rtol=0)


def test_later_layers_cover_earlier_layers_and_the_background() -> None:
    cover = torch.zeros(1, 1, 2, 1, 1, 3)  # (B, T, K, 1, H, W)
    cover[:, :, 0, ..., :2] = 1
    cover[:, :, 1, ..., 1:2] = 1
    colours = torch.tensor([0.2, 0.7]).view(1, 1, 2, 1, 1, 1) * cover
    frame = composite(torch.cat([colours, cover], dim=3), torch.full((1, 1, 1, 1, 3), -1.0))
    assert frame.flatten().tolist() == pytest.approx([0.2, 0.7, -1.0])


@pytest.mark.parametrize("size", [(32, 32), (100, 80)])
def test_measure_shifts_recovers_known_shifts(size: tuple[int, int]) -> None:
    height, width = size
    start = torch.full((1, 1, height, width), -1.0)
    start[..., height // 4 : height // 2, width // 4 : width // 2] = 1
    start[..., height // 3, width // 3] = -1
    shifts = torch.tensor([[0.0, 0.0], [0.25, -0.125], [-0.125, 0.25]])
    frames = [start.roll((round(float(s[0]) * height), round(float(s[1]) * width)), (2, 3)) for s in shifts]
    layer = torch.cat([start, torch.ones_like(start)], dim=1).unsqueeze(1)
    measured = measure_shifts(layer, torch.stack(frames, dim=1))[0, :, 0]
    torch.testing.assert_close(measured, shifts, atol=0.03, rtol=0)


def test_centroid_and_extent_of_a_box() -> None:
    cover = torch.zeros(1, 1, 40, 20)
    cover[..., 10:20, 5:15] = 1
    down, right, height, width = centroid_and_extent(cover)[0, 0].tolist()
    assert (down, right) == pytest.approx((0.375, 0.5))
    assert (height, width) == pytest.approx((10 / 40 / 12**0.5, 10 / 20 / 12**0.5), rel=0.02)


def test_without_flow_an_image_stays_and_a_flow_by_whole_pixels_is_a_shift() -> None:
    images = torch.rand(2, 3, 16, 20, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(bend(images, torch.zeros(2, 2, 8, 10)), images, atol=1e-5, rtol=0)
    flow = torch.zeros(2, 2, 8, 10)
    flow[:, 0], flow[:, 1] = 16 * 3 / 16, -16 * 2 / 20  # from each place to that 3 pixels below and 2 to the left
    bent = bend(images, flow)
    torch.testing.assert_close(bent[..., :13, 2:], images[..., 3:, :18], atol=1e-4, rtol=0)
    border = images[..., 15:, :18].expand(-1, -1, 3, -1)
    torch.testing.assert_close(bent[..., 13:, 2:], border, atol=1e-4, rtol=0)


def test_a_flow_changes_the_place_that_it_belongs_to() -> None:
    images = torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    flow = torch.zeros(1, 2, 16, 16)
    flow[0, :, 4, 5] = 1.0
    changed = (bend(images, flow) != images).nonzero()
    assert changed.tolist() == [[0, 0, 4, 5]]
