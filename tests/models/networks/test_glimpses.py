"""Glimpses: the filters are those of the equations, and reading and writing are their products with images."""

import math

import pytest
import torch
from torch import Tensor

from genimg.models.networks.glimpses import Attention, Glimpse, full_stride, glimpse

HEIGHT, WIDTH, SIZE = 6, 9, 4


def some_parameters(count: int = 3) -> Tensor:
    """(g'_X, g'_Y, log sigma^2, log delta', log gamma), (count, 5), float64."""
    return 0.6 * torch.randn(count, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def some_images(channels: int = 2) -> Tensor:
    return torch.randn(3, channels, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def written_out(parameters: list[float], size: int, height: int, width: int) -> tuple[Tensor, Tensor]:
    """F_X and F_Y of one image, equations 19 to 26 of the paper with its counting from 1."""
    across, down, log_variance, log_delta, _ = parameters
    g_x, g_y = (width + 1) / 2 * (across + 1), (height + 1) / 2 * (down + 1)
    delta = (max(width, height) - 1) / (size - 1) * math.exp(log_delta)
    found = []
    for g, length in ((g_x, width), (g_y, height)):
        bank = torch.zeros(size, length, dtype=torch.float64)
        for i in range(1, size + 1):
            mu = g + (i - size / 2 - 0.5) * delta
            masses = [math.exp(-((a - mu) ** 2) / (2 * math.exp(log_variance))) for a in range(1, length + 1)]
            for a, mass in enumerate(masses):
                bank[i - 1, a] = mass / sum(masses)
        found.append(bank)
    return found[0], found[1]


@pytest.mark.parametrize("shape", [(HEIGHT, WIDTH), (WIDTH, HEIGHT), (5, 5)])
def test_the_filters_are_those_of_the_equations(shape: tuple[int, int]) -> None:
    parameters = some_parameters()
    found = glimpse(parameters, SIZE, *shape)
    for row, one in enumerate(parameters.tolist()):
        columns, rows = written_out(one, SIZE, *shape)
        torch.testing.assert_close(found.columns[row], columns)
        torch.testing.assert_close(found.rows[row], rows)
        assert float(found.gain[row]) == pytest.approx(math.exp(one[4]))


def test_reading_and_writing_are_products_with_the_filters_of_each_channel() -> None:
    parameters, images = some_parameters(), some_images()
    found = glimpse(parameters, SIZE, HEIGHT, WIDTH)
    patches = found.read(images)
    canvas = found.write(patches)
    for row, one in enumerate(parameters.tolist()):
        columns, rows = written_out(one, SIZE, HEIGHT, WIDTH)
        for channel, image in enumerate(images[row]):
            read = math.exp(one[4]) * rows @ image @ columns.T
            torch.testing.assert_close(patches[row, channel], read)
            torch.testing.assert_close(canvas[row, channel], rows.T @ read @ columns / math.exp(one[4]))


@pytest.mark.parametrize("centre", [0.0, 3.0, -1e4])
@pytest.mark.parametrize("log_variance", [-10.0, 0.0, 10.0])
def test_every_filter_sums_to_one_also_far_outside_the_image(centre: float, log_variance: float) -> None:
    found = glimpse(torch.tensor([[centre, -centre, log_variance, 1.0, 0.0]]), SIZE, HEIGHT, WIDTH)
    for bank in (found.rows, found.columns):
        torch.testing.assert_close(bank.sum(2), torch.ones(1, SIZE))
        assert (bank >= 0).all()


def test_narrow_filters_on_every_pixel_read_the_image_itself() -> None:
    """The stride of the longer side is a pixel; beyond the shorter side the filters see its border."""
    images = some_images()[:, :, :, :8]  # 6 x 8
    covering = torch.tensor([[0.0, 0.0, -10.0, 0.0, 0.0]], dtype=torch.float64).expand(3, -1)
    found = glimpse(covering, 8, HEIGHT, 8)
    patches = found.read(images)
    torch.testing.assert_close(patches[:, :, 1:7], images)
    torch.testing.assert_close(patches[:, :, [0, 7]], images[:, :, [0, 5]])
    square = some_images()[:, :, :, :6]
    found = glimpse(covering, 6, 6, 6)
    torch.testing.assert_close(found.read(square), square)
    torch.testing.assert_close(found.write(square), square)


def test_writing_is_the_transpose_of_reading() -> None:
    """<read(x), w> = gamma^2 <x, write(w)>."""
    found, images = glimpse(some_parameters(), SIZE, HEIGHT, WIDTH), some_images()
    patches = torch.randn(3, 2, SIZE, SIZE, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    left = (found.read(images) * patches).sum((1, 2, 3))
    right = (images * found.write(patches)).sum((1, 2, 3))
    torch.testing.assert_close(left, found.gain.flatten() ** 2 * right)


def test_a_single_filter_is_at_the_centre_whatever_its_stride() -> None:
    found = glimpse(torch.tensor([[0.0, 0.0, -10.0, 3.0, 0.0]], dtype=torch.float64), 1, 5, 5)
    assert found.rows[0, 0].argmax() == found.columns[0, 0].argmax() == 2


def first(size: int, image_size: tuple[int, int], writes: bool) -> Glimpse:
    """The glimpse of a state of zeros, before any training."""
    torch.manual_seed(0)
    with torch.no_grad():
        return Attention(8, size, image_size, writes)(torch.zeros(1, 8))


@pytest.mark.parametrize("image_size", [(32, 32), (32, 20), (64, 48)])
def test_the_first_glimpses_cover_the_image_and_keep_its_values(image_size: tuple[int, int]) -> None:
    """A constant image is read as itself; a constant patch is written with values of its size, within a factor of 2."""
    flat = torch.full((1, 3, *image_size), 0.7)
    patch = torch.full((1, 3, 5, 5), 0.7)
    torch.testing.assert_close(first(5, image_size, writes=False).read(flat), patch, rtol=0.5, atol=0)
    written = first(5, image_size, writes=True).write(patch)
    height, width = image_size
    inside = written[:, :, height // 4 : -height // 4, width // 4 : -width // 4]
    assert inside.min() > 0.35 and inside.max() < 1.4


def test_no_weights_give_an_infinite_glimpse() -> None:
    torch.manual_seed(0)
    attention = Attention(8, 5, 16, writes=True)
    for weight in attention.parameters():
        torch.nn.init.normal_(weight, std=1e3)
    found = attention(torch.randn(4, 8))
    images = torch.rand(4, 1, 16, 16)
    for tensor in (*found, found.read(images), found.write(found.read(images))):
        assert tensor.isfinite().all()


def test_the_stride_of_a_covering_grid() -> None:
    assert full_stride(5, 9, 6) == 2.0
