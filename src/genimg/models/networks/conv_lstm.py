"""The ConvLSTM as a predictor of frames: Shi et al. 2015, "Convolutional LSTM network", https://arxiv.org/abs/1506.04214

Cells are stacked, and each frame is predicted from the topmost hidden map, as in the benchmarks of OpenSTL (Tan et al.
2023, https://arxiv.org/abs/2306.11249), not by the encoder and forecaster of the paper.
"""

from collections.abc import Iterable, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from genimg.models.networks.patches import Patches
from genimg.models.networks.recurrence import Predicted
from genimg.models.networks.recurrent import open_forget_gate

Memory = tuple[Tensor, Tensor]  # hidden map and cell, (B, hidden, h, w) each


class ConvLSTMCell(nn.Module):
    """One cell, with peepholes (eq. 3).

        i = sigmoid(W_xi * x + W_hi * h + w_ci o c + b_i),  f alike with w_cf
        c' = f o c + i o tanh(W_xc * x + W_hc * h + b_c)
        o = sigmoid(W_xo * x + W_ho * h + w_co o c' + b_o),  h' = o o tanh(c')

    Args:
        channels: of the input.
        hidden: of the hidden map.
        kernel: side of the filters.
        size: height and width of the maps.
    """

    def __init__(self, channels: int, hidden: int, kernel: int, size: Sequence[int]) -> None:
        super().__init__()
        self.hidden = hidden
        self.from_input = nn.Conv2d(channels, 4 * hidden, kernel, padding="same")  # input, forget, cell, output
        self.from_hidden = nn.Conv2d(hidden, 4 * hidden, kernel, padding="same", bias=False)
        self.peepholes = nn.Parameter(torch.zeros(3, hidden, *size))  # input, forget, output
        assert self.from_input.bias is not None
        open_forget_gate(self.from_input.bias, slice(hidden, 2 * hidden))

    def begin(self, x: Tensor) -> Memory:
        """The memory before the first step on maps like x (B, channels, h, w): zeros."""
        zeros = x.new_zeros(len(x), self.hidden, *x.shape[2:])
        return zeros, zeros

    def forward(self, x: Tensor, memory: Memory) -> Memory:
        """Input (B, channels, h, w) and memory -> the next memory."""
        hidden, cell = memory
        into, forget, new, out = (self.from_input(x) + self.from_hidden(hidden)).chunk(4, dim=1)
        of_input, of_forget, of_output = self.peepholes
        cell = torch.sigmoid(forget + of_forget * cell) * cell + torch.sigmoid(into + of_input * cell) * torch.tanh(new)
        return torch.sigmoid(out + of_output * cell) * torch.tanh(cell), cell


class ConvLSTM(nn.Module):
    """Stacked cells over patches.

    Args:
        image_size, channels: of a frame.
        hidden: channels of every cell.
        layers: number of cells.
        kernel: side of their filters.
        patch: side of a patch in pixels.
    """

    def __init__(
        self, image_size: int | Sequence[int], channels: int, hidden: int, layers: int, kernel: int, patch: int
    ) -> None:
        super().__init__()
        self.patches = Patches(image_size, channels, patch)
        inputs = [self.patches.channels, *[hidden] * (layers - 1)]
        self.cells = nn.ModuleList(ConvLSTMCell(count, hidden, kernel, self.patches.size) for count in inputs)
        self.to_patches = nn.Conv2d(hidden, self.patches.channels, 1)

    def forward(self, frame: Tensor, state: list[Memory] | None) -> Predicted:
        """See `Recurrence`."""
        h, memories = self.patches.cut(frame), []
        for index, cell in enumerate(cast(Iterable[ConvLSTMCell], self.cells)):
            memory = cell(h, cell.begin(h) if state is None else state[index])
            memories.append(memory)
            h = memory[0]
        return Predicted(self.patches.join(self.to_patches(h)), memories, None)
