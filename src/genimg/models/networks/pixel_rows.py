"""A recurrence over the rows of an image, for exact likelihoods (`model/network=row_gru`).

    h_r = GRU(x_{r-1}, h_{r-1})          all pixels above row r, at every column
    f_{r,c} = row(h_r, x_{r,<c})         the pixels above, and those to the left in the row

Every pixel above is known, so the recurrence reads complete rows, to the left and to the right; it takes H steps, not
H x W. Convolutions along the row, which read only what is to the left, run for all rows at once. The two streams are
those of the gated PixelCNN (van den Oord et al. 2016, "Conditional image generation with PixelCNN decoders", section
2), whose vertical one is a stack of convolutions with a bounded field.
"""

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genimg.models.networks.layers import class_vectors
from genimg.models.networks.pixel_cursor import Cursor, with_ones


class RowGRU(nn.Module):
    """A convolutional GRU that steps down the rows, and gated convolutions along each row.

    Args:
        image_size: height and width of the images, or one number for both.
        channels: of the images.
        width: features of a pixel.
        num_classes: 0 for an unconditional network. A conditional one has one more label, the last, for an unknown
            class.
        layers: gated convolutions along the row.
        kernel: pixels to the left that a convolution reads, its own included.
    """

    def __init__(
        self, image_size: int | tuple[int, int], channels: int, width: int, num_classes: int, layers: int, kernel: int
    ) -> None:
        super().__init__()
        rows, columns = (image_size, image_size) if isinstance(image_size, int) else image_size
        self.kernel = kernel
        self.embedding = nn.Embedding(num_classes + 1, width) if num_classes else None
        self.first = nn.Parameter(torch.zeros(1, width, 1, columns))
        self.places = nn.Parameter(torch.zeros(1, width, rows, columns))
        self.from_row = nn.Conv2d(channels + 1, 3 * width, (1, 2 * kernel - 1), padding=(0, kernel - 1))
        self.from_state = nn.Conv2d(width, 3 * width, (1, 3), padding=(0, 1))
        self.from_left = nn.Conv2d(channels + 1, width, (1, kernel))
        self.layers = nn.ModuleList(RowLayer(width, kernel) for _ in range(layers))

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images (B, C, H, W) in [-1, 1] -> features (B, width, H, W), which depend on the pixels before alone."""
        rows = self.from_row(with_ones(images))
        states = [self.first_state(labels, len(images))]
        for row in rows.split(1, dim=2)[:-1]:
            states.append(self.step(row, states[-1]))
        above = self.above(torch.cat(states, dim=2), labels)
        left = F.pad(with_ones(images), (self.kernel, -1))  # the pixel itself is not read
        h = self.from_left(left)
        for layer in self.layers:
            h = layer(h, above)
        return F.leaky_relu(h + above, 0.2)

    def cursor(self, images: Tensor, labels: Tensor | None = None) -> Cursor:
        """Features of one pixel after the other, while the images are drawn."""
        return _RowCursor(self, images, labels)

    def first_state(self, labels: Tensor | None, count: int) -> Tensor:
        """The state above the first row, (B, width, 1, W)."""
        if self.embedding is None:
            return self.first.expand(count, -1, -1, -1)
        return torch.tanh(self.first + class_vectors(self.embedding, labels)[:, :, None, None])

    def step(self, row: Tensor, state: Tensor) -> Tensor:
        """Projected pixels of a row (B, 3 width, 1, W), and the state above it -> the state below it."""
        reset_x, update_x, new_x = row.float().chunk(3, dim=1)
        reset_h, update_h, new_h = self.from_state(state).float().chunk(3, dim=1)
        new = torch.tanh(new_x + torch.sigmoid(reset_x + reset_h) * new_h)
        return torch.lerp(new, state, torch.sigmoid(update_x + update_h))

    def above(self, states: Tensor, labels: Tensor | None, rows: slice = slice(None)) -> Tensor:
        """States, with the place in the image and the class."""
        above = states + self.places[:, :, rows]
        return above if self.embedding is None else above + class_vectors(self.embedding, labels)[:, :, None, None]


class RowLayer(nn.Module):
    """A gated convolution along the row, with a residual connection.

    Args:
        features: channels.
        kernel: pixels to the left that it reads, its own included.
    """

    def __init__(self, features: int, kernel: int) -> None:
        super().__init__()
        self.kernel = kernel
        self.along = nn.Conv2d(features, 2 * features, (1, kernel))
        self.from_above = nn.Conv2d(features, 2 * features, 1, bias=False)
        self.out = nn.Conv2d(features, features, 1)

    def forward(self, h: Tensor, above: Tensor) -> Tensor:
        """Features of the row and of what is above, (B, features, H, W) each -> features of the row."""
        return self.gated(h, F.pad(h, (self.kernel - 1, 0)), self.from_above(above))

    def gated(self, h: Tensor, window: Tensor, gates: Tensor) -> Tensor:
        """`window` is `h` with the features to its left, `gates` are those of what is above."""
        value, gate = (self.along(window) + gates).chunk(2, dim=1)
        return h + self.out(torch.tanh(value) * torch.sigmoid(gate))


class _RowCursor:
    """Keeps the features of the present row, from which those of the next pixel follow."""

    def __init__(self, network: RowGRU, images: Tensor, labels: Tensor | None) -> None:
        self.network, self.images, self.labels = network, images, labels
        self.layers = [cast(RowLayer, layer) for layer in network.layers]
        self.state = network.first_state(labels, len(images))

    def features(self, row: int, column: int) -> Tensor:
        if column == 0:
            self._begin(row)
        kernel = self.network.kernel
        if column:
            self.left[..., kernel + column - 1] = with_ones(self.images[:, :, row, column - 1, None, None])[..., 0]
        h = self.network.from_left(self.left[..., column : column + kernel])
        for layer, kept, gates in zip(self.layers, self.kept, self.gates, strict=True):
            kept[..., kernel - 1 + column] = h[..., 0]
            h = layer.gated(h, kept[..., column : column + kernel], gates[..., column, None])
        return F.leaky_relu(h + self.above[..., column, None], 0.2)

    def _begin(self, row: int) -> None:
        network, count = self.network, len(self.images)
        if row:
            self.state = network.step(network.from_row(with_ones(self.images[:, :, row - 1, None])), self.state)
        self.above = network.above(self.state, self.labels, slice(row, row + 1))
        self.gates = [layer.from_above(self.above) for layer in self.layers]
        channels, width = self.images.shape[1], self.images.shape[3]
        features, kernel = network.first.shape[1], network.kernel
        self.left = self.images.new_zeros(count, channels + 1, 1, kernel + width)
        self.kept = [self.images.new_zeros(count, features, 1, kernel - 1 + width) for _ in self.layers]
