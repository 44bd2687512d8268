"""The recurrent networks of "Pixel recurrent neural networks" (van den Oord et al. 2016), for `model=pixel_rnn`.

A masked 7 x 7 convolution that does not read the pixel itself comes first. Every layer adds its LSTM's output to its
input (figure 5 of the paper). The masks within a pixel are not needed here: `PixelHead` orders the channels.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genimg.models.networks.layers import class_vectors
from genimg.models.networks.pixel_cursor import Cursor, with_ones

FIRST = 7  # side of the first convolution


class PixelLSTM(nn.Module):
    """The network around the layers of one kind.

    Args:
        kind: builds a layer from `width`: `RowLSTM` or `DiagonalBiLSTM`.
        channels: of the images.
        width: features of a pixel, 2 h; an LSTM has h units.
        num_classes: 0 for an unconditional network. A conditional one has one more label, the last, for an unknown
            class.
        layers: number of LSTMs.
    """

    mask: Tensor

    def __init__(
        self, kind: Callable[[int], nn.Module], channels: int, width: int, num_classes: int, layers: int
    ) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels + 1, width, FIRST)
        before = torch.arange(FIRST * FIRST) < FIRST * FIRST // 2  # mask A: in raster order, without the centre
        self.register_buffer("mask", before.view(FIRST, FIRST).float(), persistent=False)
        self.embedding = nn.Embedding(num_classes + 1, width) if num_classes else None
        self.layers = nn.ModuleList(kind(width) for _ in range(layers))

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images (B, C, H, W) in [-1, 1] -> features (B, width, H, W), which depend on the pixels before alone."""
        h = self._with_class(self.first_at(with_ones(images), FIRST // 2), labels)
        for layer in self.layers:
            h = h + layer(h)
        return F.relu(h)

    def cursor(self, images: Tensor, labels: Tensor | None = None) -> Cursor:
        """Features of one pixel after the other, while the images are drawn."""
        return _LSTMCursor(self, images, labels)

    def first_at(self, inputs: Tensor, padding: int) -> Tensor:
        """The first convolution, of images with their channel of ones."""
        return F.conv2d(inputs, self.first.weight * self.mask, self.first.bias, padding=padding)

    def _with_class(self, h: Tensor, labels: Tensor | None) -> Tensor:
        return h if self.embedding is None else h + class_vectors(self.embedding, labels)[:, :, None, None]


class RowLSTM(nn.Module):
    """An LSTM that steps down the rows, with convolutions along them: a triangle of pixels above (section 3.1).

    Args:
        width: features 2 h of its input and output.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.units = width // 2
        self.from_input = nn.Conv2d(width, 4 * self.units, (1, 2))  # 3 pixels without the right one: mask B
        self.from_state = nn.Conv2d(self.units, 4 * self.units, (1, 3), padding=(0, 1), bias=False)
        self.out = nn.Conv2d(self.units, width, 1)

    def forward(self, h: Tensor) -> Tensor:
        """Features (B, width, H, W) -> features of the same shape."""
        rows = self.from_input(F.pad(h, (1, 0)))
        state = cell = h.new_zeros(len(h), self.units, 1, h.shape[3])
        states = []
        for row in rows.split(1, dim=2):
            state, cell = lstm(row + self.from_state(state), cell)
            states.append(state)
        return self.out(torch.cat(states, dim=2))

    def cursor(self, count: int, columns: int, like: Tensor) -> "_RowCursor":
        return _RowCursor(self, count, columns, like)


class DiagonalBiLSTM(nn.Module):
    """Two LSTMs along the diagonals, from the left and from the right: all pixels above (section 3.2).

    The one from the right is shifted down by a row, so that no pixel sees those to its right. As in the paper, the last
    pixel of the row above reaches only the columns that the first convolution brings it to.

    Args:
        width: features 2 h of its input and output.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.units = width // 2
        self.left, self.right = DiagonalLSTM(width, self.units), DiagonalLSTM(width, self.units)
        self.out = nn.Conv2d(self.units, width, 1)

    def forward(self, h: Tensor) -> Tensor:
        """Features (B, width, H, W) -> features of the same shape."""
        right = self.right(h.flip(3)).flip(3)
        return self.out(self.left(h) + F.pad(right, (0, 0, 1, -1)))

    def cursor(self, count: int, columns: int, like: Tensor) -> "_DiagonalCursor":
        return _DiagonalCursor(self, count, columns, like)


class DiagonalLSTM(nn.Module):
    """An LSTM from the upper left: its state at a pixel follows from those of the pixels to the left and above.

    Args:
        width: features of its input.
        units: h.
    """

    def __init__(self, width: int, units: int) -> None:
        super().__init__()
        self.units = units
        self.from_input = nn.Conv2d(width, 4 * units, 1)
        self.from_state = nn.Conv2d(units, 4 * units, (2, 1), bias=False)  # the pixel above, then the one to the left

    def forward(self, h: Tensor) -> Tensor:
        """Features (B, width, H, W) -> (B, units, H, W)."""
        inputs = skew(self.from_input(h))
        state = cell = h.new_zeros(len(h), self.units, h.shape[2], 1)
        states = []
        for column in inputs.split(1, dim=3):
            state, cell = lstm(column + self.from_state(F.pad(state, (0, 0, 1, 0))), cell)
            states.append(state)
        return unskew(torch.cat(states, dim=3), h.shape[3])

    def step(self, h: Tensor, above: Tensor, left: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
        """One pixel: features (B, width, 1, 1), the states above and to the left, and the cell to the left."""
        return lstm(self.from_input(h) + self.from_state(torch.cat([above, left], dim=2)), cell)


def lstm(gates: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """Gates (B, 4 h, ...), in the order of eq. 3 of the paper, and the cell -> the state and the cell."""
    out, forget, into, new = gates.float().chunk(4, dim=1)
    cell = torch.sigmoid(forget) * cell + torch.sigmoid(into) * torch.tanh(new)
    return torch.sigmoid(out) * torch.tanh(cell), cell


def skew(h: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, C, H, W + H - 1): row i is shifted to the right by i, so that diagonals are columns."""
    height = h.shape[2]
    return F.pad(h, (0, height)).flatten(2)[..., :-height].unflatten(2, (height, -1))


def unskew(h: Tensor, width: int) -> Tensor:
    """The inverse of `skew`: (B, C, H, W + H - 1) -> (B, C, H, W)."""
    height = h.shape[2]
    return F.pad(h.flatten(2), (0, height)).unflatten(2, (height, -1))[..., :width]


class _LSTMCursor:
    """The first convolution and the layers, at one pixel after the other."""

    def __init__(self, network: PixelLSTM, images: Tensor, labels: Tensor | None) -> None:
        self.network, self.images, self.labels = network, images, labels
        count, width = len(images), images.shape[3]
        self.layers = [layer.cursor(count, width, images) for layer in network.layers]  # pyright: ignore

    def features(self, row: int, column: int) -> Tensor:
        reach = FIRST // 2
        above, left, right = min(row, reach), min(column, reach), min(self.images.shape[3] - 1 - column, reach)
        window = with_ones(self.images[:, :, row - above : row + 1, column - left : column + right + 1])
        window = F.pad(window, (reach - left, reach - right, reach - above, reach))
        h = self.network._with_class(self.network.first_at(window, 0), self.labels)
        for layer in self.layers:
            h = h + layer.at(h, column)
        return F.relu(h)


class _RowCursor:
    """A Row LSTM at one pixel after the other."""

    def __init__(self, layer: RowLSTM, count: int, columns: int, like: Tensor) -> None:
        self.layer = layer
        self.state = like.new_zeros(count, layer.units, 1, columns)
        self.cell = torch.zeros_like(self.state)

    def at(self, h: Tensor, column: int) -> Tensor:
        if column == 0:
            self.gates = self.layer.from_state(self.state)
            self.before = torch.zeros_like(h)
        gates = self.layer.from_input(torch.cat([self.before, h], dim=3)) + self.gates[..., column, None]
        state, cell = lstm(gates, self.cell[..., column, None])
        self.state[..., column, None], self.cell[..., column, None] = state, cell
        self.before = h
        return self.layer.out(state)


class _DiagonalCursor:
    """A Diagonal BiLSTM at one pixel after the other; the LSTM from the right runs when a row is complete."""

    def __init__(self, layer: DiagonalBiLSTM, count: int, columns: int, like: Tensor) -> None:
        self.layer = layer
        self.zero = like.new_zeros(count, layer.units, 1, 1)
        self.left = like.new_zeros(count, layer.units, 1, columns)  # states of the last row, then of this one
        self.right = torch.zeros_like(self.left)  # states of the LSTM from the right, of the last row
        self.inputs: list[Tensor] = []

    def at(self, h: Tensor, column: int) -> Tensor:
        if column == 0:
            self._finish_row()
            self.state = self.cell = self.zero
        self.inputs.append(h)
        above = self.left[..., column, None].clone()
        self.state, self.cell = self.layer.left.step(h, above, self.state, self.cell)
        self.left[..., column, None] = self.state
        return self.layer.out(self.state + self.right[..., column, None])

    def _finish_row(self) -> None:
        """The LSTM from the right, of the row that is now complete."""
        state = cell = self.zero
        for column in reversed(range(len(self.inputs))):
            above = self.right[..., column, None].clone()
            state, cell = self.layer.right.step(self.inputs[column], above, state, cell)
            self.right[..., column, None] = state
        self.inputs = []
