"""Recurrent cores: what carries the motion from frame to frame.

Both have one interface. `begin(context)` makes the state of the start picture, `forward(inputs, state)` goes one
frame on, `summary(state)` is a vector (B, summary_size) for the heads that read the motion, `canvas(states)` turns
the states of any number of frames into maps (N, width, h, w) that the frame decoder starts from, in one call.
"""

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

State = tuple[Tensor, ...]


def open_forget_gate(bias: Tensor, forget: slice) -> None:
    """Zero biases but for the forget gate's, at 1: the cell remembers until it learns to forget.

    Jozefowicz, Zaremba & Sutskever 2015, section 2.2.
    """
    with torch.no_grad():
        bias.zero_()
        bias[forget] = 1


class LSTMCore(nn.Module):
    """An LSTM cell over vectors, with fully connected layers before and after it.

    Args:
        context_size: length of the start picture's vector.
        input_size: length of what each step receives beside it.
        map_shape: (channels, height, width) of the map that the frame decoder starts from.
        hidden: units of the cell.
    """

    def __init__(
        self, context_size: int, input_size: int, map_shape: Sequence[int], hidden: int = 256
    ) -> None:
        super().__init__()
        channels, height, width = map_shape
        self.map_shape = (channels, height, width)
        self.summary_size = hidden
        self.start = nn.Linear(context_size, hidden)
        self.cell = nn.LSTMCell(context_size + input_size, hidden)
        self.to_map = nn.Linear(hidden, channels * height * width)
        open_forget_gate(self.cell.bias_ih, slice(hidden, 2 * hidden))  # gates in torch: input, forget, cell, out
        open_forget_gate(self.cell.bias_hh, slice(0, 0))

    def begin(self, context: Tensor, context_map: Tensor) -> State:
        """Context (B, context_size), map (B, channels, h, w; not used here) -> hidden, cell, context."""
        hidden = torch.tanh(self.start(context))
        return hidden, torch.zeros_like(hidden), context

    def forward(self, inputs: Tensor, state: State) -> State:
        """Inputs (B, input_size) and the state of frame t - 1 -> the state of frame t."""
        hidden, cell, context = state
        hidden, cell = self.cell(torch.cat([inputs, context], dim=1), (hidden, cell))
        return hidden, cell, context

    def summary(self, state: State) -> Tensor:
        return state[0]

    def canvas(self, hidden: Tensor) -> Tensor:
        """Hidden states (N, hidden) -> (N, channels, h, w)."""
        return F.leaky_relu(self.to_map(hidden), 0.2).unflatten(1, self.map_shape)


class ConvLSTMCore(nn.Module):
    """A ConvLSTM over the map of image features (Shi et al. 2015, eq. 3, without peepholes).

    Inputs are vectors and are spread over the map; the summary is a fully connected layer over the hidden map.
    Arguments as in `LSTMCore`; `hidden` is the length of the summary.
    """

    def __init__(
        self, context_size: int, input_size: int, map_shape: Sequence[int], hidden: int = 256
    ) -> None:
        super().__init__()
        channels, height, width = map_shape
        self.channels = channels
        self.summary_size = hidden
        self.start = nn.Conv2d(channels, channels, 1)
        self.spread = nn.Linear(context_size + input_size, 4 * channels)
        self.gates = nn.Conv2d(2 * channels, 4 * channels, 3, padding=1)
        self.to_summary = nn.Linear(channels * height * width, hidden)
        assert self.gates.bias is not None
        open_forget_gate(self.gates.bias, slice(channels, 2 * channels))

    def begin(self, context: Tensor, context_map: Tensor) -> State:
        """Context (B, context_size), map (B, channels, h, w) -> hidden map, cell map, context, context map."""
        hidden = torch.tanh(self.start(context_map))
        return hidden, torch.zeros_like(hidden), context, context_map

    def forward(self, inputs: Tensor, state: State) -> State:
        hidden, cell, context, context_map = state
        gates = self.gates(torch.cat([hidden, context_map], dim=1))
        gates = gates + self.spread(torch.cat([inputs, context], dim=1))[:, :, None, None]
        into, forget, new, out = gates.chunk(4, dim=1)
        cell = torch.sigmoid(forget) * cell + torch.sigmoid(into) * torch.tanh(new)
        return torch.sigmoid(out) * torch.tanh(cell), cell, context, context_map

    def summary(self, state: State) -> Tensor:
        return torch.tanh(self.to_summary(state[0].flatten(1)))

    def canvas(self, hidden: Tensor) -> Tensor:
        return hidden


CORES = {"lstm": LSTMCore, "conv_lstm": ConvLSTMCore}
