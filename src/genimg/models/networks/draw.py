"""The recurrent networks of DRAW (Gregor et al. 2015): an encoder that reads glimpses, and a decoder that writes them.

    r_t = [read(x), read(x - mean(c_{t-1}))]
    h_t^enc = LSTM([r_t, h_{t-1}^dec], h_{t-1}^enc),   z_t ~ q(z_t | h_t^enc)
    h_t^dec = LSTM(z_t, h_{t-1}^dec),   c_t = c_{t-1} + write(W h_t^dec)

Equations 3 to 8 and section 3.3, https://arxiv.org/abs/1502.04623
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from genimg.models.networks.glimpses import Attention
from genimg.models.networks.layers import class_vectors
from genimg.models.networks.recurrent import lstm_cell

#: The first canvas is this times a parameter, so that Adam, whose steps have one length, reaches logits of 5 in time.
BACKGROUND_SCALE = 10.0

Memory = tuple[Tensor, Tensor]  # hidden state and cell of an LSTM, (B, hidden) each


class Drawing(NamedTuple):
    """Images that are being drawn."""

    canvas: Tensor  # c_t, (B, C, H, W), unbounded
    memory: Memory  # of the decoder

    @property
    def hidden(self) -> Tensor:
        """h_t^dec, (B, hidden)."""
        return self.memory[0]


class GlimpseEncoder(nn.Module):
    """Reads a glimpse of the image, and of what its drawing lacks.

    Args:
        image_size: height and width of the images, or one number for both.
        channels: of the images.
        hidden: units of this LSTM, and of the decoder's.
        latent_dim: length of z_t.
        read_size: filters per side of a glimpse.
    """

    def __init__(
        self, image_size: int | tuple[int, int], channels: int, hidden: int, latent_dim: int, read_size: int
    ) -> None:
        super().__init__()
        self.attention = Attention(hidden, read_size, image_size, writes=False)
        self.cell = lstm_cell(2 * channels * read_size**2 + hidden, hidden)
        self.to_mean = nn.Linear(hidden, latent_dim)
        self.to_log_var = nn.Linear(hidden, latent_dim)

    def begin(self, count: int) -> Memory:
        """The memory before the first step."""
        return _empty(self.cell, count)

    def forward(self, images: Tensor, errors: Tensor, drawn: Tensor, memory: Memory) -> tuple[Tensor, Tensor, Memory]:
        """Images and errors (B, C, H, W) -> mean and log-variance of z_t, (B, latent_dim) each, and the memory.

        drawn: the decoder's state after the step before, (B, hidden).
        """
        glimpse = self.attention(drawn)
        # not one read of both: no gradient with respect to the images is needed
        patches = [glimpse.read(part).flatten(1) for part in (images, errors)]
        hidden, cell = self.cell(torch.cat([*patches, drawn], dim=1), memory)
        return self.to_mean(hidden), self.to_log_var(hidden), (hidden, cell)


class GlimpseDecoder(nn.Module):
    """Adds a patch to the canvas in each step.

    The first canvas c_0 is learned, a background that no glimpse has to draw. The class of a conditional model is a
    vector beside every z_t, of its length.

    Args:
        image_size, channels, hidden, latent_dim: as for the encoder.
        write_size: filters per side of a patch.
        num_classes: 0 for an unconditional model.
    """

    def __init__(
        self,
        image_size: int | tuple[int, int],
        channels: int,
        hidden: int,
        latent_dim: int,
        write_size: int,
        num_classes: int,
    ) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        self.attention = Attention(hidden, write_size, image_size, writes=True)
        self.embedding = nn.Embedding(num_classes, latent_dim) if num_classes else None
        self.cell = lstm_cell(latent_dim * (2 if num_classes else 1), hidden)
        nn.init.normal_(self.cell.weight_ih, std=latent_dim**-0.5)  # torch's default hardly shows z_t
        self.to_patch = nn.Linear(hidden, channels * write_size**2)
        self.patch_shape = (channels, write_size, write_size)
        self.background = nn.Parameter(torch.zeros(channels, self.attention.height, self.attention.width))

    def begin(self, count: int) -> Drawing:
        """The drawing before the first step."""
        canvas = BACKGROUND_SCALE * self.background
        return Drawing(canvas.expand(count, -1, -1, -1), _empty(self.cell, count))

    def step(self, z: Tensor, drawing: Drawing, labels: Tensor | None) -> Drawing:
        """z_t (B, latent_dim), labels int64 (B,) if conditional -> the drawing after the step."""
        if self.embedding is not None:
            z = torch.cat([z, class_vectors(self.embedding, labels)], dim=1)
        hidden, cell = self.cell(z, drawing.memory)
        patch = self.to_patch(hidden).unflatten(1, self.patch_shape)
        return Drawing(drawing.canvas + self.attention(hidden).write(patch), (hidden, cell))

    def canvases(self, z: Tensor, labels: Tensor | None) -> Iterator[Tensor]:
        """The canvas before the first step and after each, (B, C, H, W), for z of all steps (B, T * latent_dim)."""
        drawing = self.begin(z.shape[0])  # not len, which a traced export would keep as a number
        yield drawing.canvas
        for step in z.split(self.latent_dim, dim=1):
            drawing = self.step(step, drawing, labels)
            yield drawing.canvas


def _empty(cell: nn.LSTMCell, count: int) -> Memory:
    zeros = cell.weight_hh.new_zeros(count, cell.hidden_size)
    return zeros, zeros
