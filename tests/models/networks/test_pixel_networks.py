"""The networks of pixel models: causality by gradients, drawing pixel by pixel, and the LSTMs of the paper."""

from functools import partial
from typing import Any, cast

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genimg.models.networks.pixel_cursor import Recomputed, cursor
from genimg.models.networks.pixel_lstm import DiagonalBiLSTM, DiagonalLSTM, PixelLSTM, RowLSTM, skew, unskew
from genimg.models.networks.pixel_rows import RowGRU

HEIGHT, WIDTH = 5, 6


def row_gru(channels: int, num_classes: int) -> nn.Module:
    return RowGRU((HEIGHT, WIDTH), channels, width=8, num_classes=num_classes, layers=2, kernel=3)


def pixel_lstm(kind: type[nn.Module], channels: int, num_classes: int) -> nn.Module:
    return PixelLSTM(kind, channels, width=8, num_classes=num_classes, layers=2)


NETWORKS = {
    "row_gru": row_gru,
    "row_lstm": partial(pixel_lstm, RowLSTM),
    "diagonal_bilstm": partial(pixel_lstm, DiagonalBiLSTM),
}


def network(name: str, channels: int = 1, num_classes: int = 0) -> nn.Module:
    """A network whose weights are all large enough to matter."""
    torch.manual_seed(0)
    made = NETWORKS[name](channels, num_classes)
    for weight in made.parameters():
        nn.init.normal_(weight, std=0.4)
    return made


def images(channels: int = 1) -> Tensor:
    return 2 * torch.rand(2, channels, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(1)) - 1


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_feature_depends_on_the_pixels_before_alone(name: str, channels: int) -> None:
    """In raster order; the pixel to the left and the three above are among those that it depends on."""
    x = images(channels).requires_grad_()
    features = network(name, channels)(x)
    for row in range(HEIGHT):
        for column in range(WIDTH):
            (gradient,) = torch.autograd.grad(features[:, :, row, column].sum(), x, retain_graph=True)
            read = (gradient.abs().sum((0, 1)) > 0).flatten()  # (H * W,)
            place = row * WIDTH + column
            assert not read[place:].any()
            above = [(row - 1) * WIDTH + near for near in range(max(0, column - 1), min(WIDTH, column + 2)) if row]
            assert read[above + [place - 1] * (column > 0)].all()


def test_the_diagonal_lstms_read_the_pixels_before() -> None:
    """All but the last one of the row above, which no mask lets through; the Row LSTM reads a triangle (section 3)."""
    counts = {}
    for kind in (RowLSTM, DiagonalBiLSTM):
        torch.manual_seed(0)
        made = PixelLSTM(kind, 1, 8, 0, layers=1).double()  # far influences are small
        x = torch.randn(1, 1, 6, 20, dtype=torch.float64, requires_grad=True)
        (gradient,) = torch.autograd.grad(made(x)[:, :, 5, 2].sum(), x)
        counts[kind] = int((gradient != 0).sum())
    assert counts[DiagonalBiLSTM] == 5 * 20 + 1 > counts[RowLSTM]


@pytest.mark.parametrize("num_classes", [0, 2])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", NETWORKS)
def test_drawing_pixel_by_pixel_gives_the_same_features(name: str, channels: int, num_classes: int) -> None:
    made = network(name, channels, num_classes)
    labels = torch.tensor([1, 2]) if num_classes else None  # 2 is the unknown class
    x = images(channels)
    with torch.no_grad():
        expected = made(x, labels)
        drawn = torch.zeros_like(x)
        pixels = cursor(made, drawn, labels)
        assert not isinstance(pixels, Recomputed)
        for row in range(HEIGHT):
            for column in range(WIDTH):
                found = pixels.features(row, column)[:, :, 0, 0]
                torch.testing.assert_close(found, expected[:, :, row, column], rtol=1e-4, atol=1e-5)
                drawn[:, :, row, column] = x[:, :, row, column]


def test_a_network_of_any_other_kind_is_computed_again_for_each_pixel() -> None:
    class LeftMean(nn.Module):
        def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
            before = x.flatten(2).cumsum(2) - x.flatten(2)
            return before.view_as(x)

    x = images()
    pixels = cursor(LeftMean(), x, None)
    torch.testing.assert_close(pixels.features(2, 3)[:, 0, 0, 0], x[:, 0].flatten(1)[:, : 2 * WIDTH + 3].sum(1))


def reference_lstm(gates: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """Eq. 3 of the paper: [o, f, i, g], c = f c + i g, h = o tanh(c)."""
    o, f, i, g = gates.chunk(4)
    cell = f.sigmoid() * cell + i.sigmoid() * g.tanh()
    return o.sigmoid() * cell.tanh(), cell


def test_the_row_lstm_is_that_of_the_paper() -> None:
    """Pixel by pixel, with the taps of its convolutions written out."""
    torch.manual_seed(0)
    layer = RowLSTM(8)
    x = torch.randn(1, 8, 4, 5)
    into, state = layer.from_input, layer.from_state.weight[:, :, 0]
    hidden, cells = torch.zeros(4, 5, 4), torch.zeros(4, 5, 4)
    for i in range(4):
        for j in range(5):
            gates = into.weight[:, :, 0, 1] @ x[0, :, i, j] + cast(Tensor, into.bias)
            if j:
                gates = gates + into.weight[:, :, 0, 0] @ x[0, :, i, j - 1]
            if i:
                for tap, near in enumerate((j - 1, j, j + 1)):
                    if 0 <= near < 5:
                        gates = gates + state[:, :, tap] @ hidden[i - 1, near]
            cell = cells[i - 1, j] if i else torch.zeros(4)
            hidden[i, j], cells[i, j] = reference_lstm(gates, cell)
    torch.testing.assert_close(layer(x), layer.out(hidden.permute(2, 0, 1)[None]))


def reference_diagonal(layer: DiagonalLSTM, x: Tensor) -> Tensor:
    """(8, H, W) -> (4, H, W), pixel by pixel: the states to the left and above, and the cell to the left."""
    into, state = layer.from_input, layer.from_state.weight[:, :, :, 0]
    height, width = x.shape[1:]
    hidden, cells = torch.zeros(height, width, 4), torch.zeros(height, width, 4)
    for i in range(height):
        for j in range(width):
            gates = into.weight[:, :, 0, 0] @ x[:, i, j] + cast(Tensor, into.bias)
            if i:
                gates = gates + state[:, :, 0] @ hidden[i - 1, j]
            if j:
                gates = gates + state[:, :, 1] @ hidden[i, j - 1]
            hidden[i, j], cells[i, j] = reference_lstm(gates, cells[i, j - 1] if j else torch.zeros(4))
    return hidden.permute(2, 0, 1)


def test_the_diagonal_bilstm_is_that_of_the_paper() -> None:
    """The LSTM from the right runs on the mirrored image, and its states are shifted down by a row."""
    torch.manual_seed(0)
    layer = DiagonalBiLSTM(8)
    x = torch.randn(1, 8, 4, 5)
    left = reference_diagonal(layer.left, x[0])
    right = reference_diagonal(layer.right, x[0].flip(2)).flip(2)
    shifted = F.pad(right[:, :-1], (0, 0, 1, 0))
    torch.testing.assert_close(layer(x), layer.out((left + shifted)[None]))


def test_skewed_columns_are_diagonals() -> None:
    x = torch.arange(12.0).view(1, 1, 3, 4)
    expected = [[0, 1, 2, 3, 0, 0], [0, 4, 5, 6, 7, 0], [0, 0, 8, 9, 10, 11]]
    assert skew(x)[0, 0].tolist() == expected
    assert torch.equal(unskew(skew(x), 4), x)


def test_gradients_of_channels_last_networks_are_finite() -> None:
    for name in NETWORKS:
        made: Any = network(name).to(memory_format=torch.channels_last)  # pyright: ignore
        with torch.autocast("cpu", torch.bfloat16):
            made(images()).float().square().sum().backward()
        assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in made.parameters())
