"""Recurrent cores, which carry the motion from frame to frame.

They share one interface: `begin` returns the state of the start image, `forward` advances by one frame, `summary` is
the vector that the motion heads read, and `canvas` converts the hidden states of any number of frames to maps for the
frame decoder. A core keeps no state between calls.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

State = tuple[Tensor, ...]  # `state[0]` is the hidden state, which `canvas` takes


def open_forget_gate(bias: Tensor, forget: slice) -> None:
    """Sets biases to 0 and the forget gate's bias to 1, so that the cell remembers at first.

    Jozefowicz, Zaremba & Sutskever 2015, section 2.2.
    """
    with torch.no_grad():
        bias.zero_()
        bias[forget] = 1


def lstm_cell(inputs: int, hidden: int) -> nn.LSTMCell:
    """An LSTM cell that remembers at first."""
    cell = nn.LSTMCell(inputs, hidden)
    open_forget_gate(cell.bias_ih, slice(hidden, 2 * hidden))  # torch's order: input, forget, cell, output
    open_forget_gate(cell.bias_hh, slice(0, 0))  # torch adds the two biases
    return cell


class LSTMCore(nn.Module):
    """An LSTM over vectors between fully connected layers. No map is recurrent, so a step is cheap.

    Args:
        context_size: length of the start image's vector, an input of every step.
        input_size: length of the other inputs of a step.
        map_shape: (channels, height, width) of the maps from which the frame decoder starts.
        hidden: units of the cell, and length of the summary.
    """

    def __init__(self, context_size: int, input_size: int, map_shape: Sequence[int], hidden: int = 256) -> None:
        super().__init__()
        channels, height, width = map_shape
        self.map_shape = (channels, height, width)
        self.summary_size = hidden
        self.start = nn.Linear(context_size, hidden)
        self.cell = lstm_cell(context_size + input_size, hidden)
        self.to_map = nn.Linear(hidden, channels * height * width)

    def begin(self, context: Tensor, context_map: Tensor) -> State:
        """Context (B, context_size) -> the state before the first step. The map is not used."""
        hidden = torch.tanh(self.start(context))
        return hidden, torch.zeros_like(hidden), context

    def forward(self, inputs: Tensor, state: State) -> State:
        """Inputs (B, input_size) and the state of one frame -> the state of the next."""
        hidden, cell, context = state
        hidden, cell = self.cell(torch.cat([inputs, context], dim=1), (hidden, cell))
        return hidden, cell, context

    def summary(self, state: State) -> Tensor:
        """(B, summary_size)."""
        return state[0]

    def canvas(self, hidden: Tensor) -> Tensor:
        """Hidden states (N, hidden) -> maps (N, channels, h, w)."""
        return F.leaky_relu(self.to_map(hidden), 0.2).unflatten(1, self.map_shape)


class ConvLSTMCore(nn.Module):
    """A ConvLSTM over maps, which keep positions (Shi et al. 2015, eq. 3, without peepholes).

    A fully connected layer broadcasts the input vectors over the map, and another one computes the summary. The
    arguments are those of `LSTMCore`; the hidden map has `map_shape`, and `hidden` is the length of the summary.
    """

    def __init__(self, context_size: int, input_size: int, map_shape: Sequence[int], hidden: int = 256) -> None:
        super().__init__()
        channels, height, width = map_shape
        self.summary_size = hidden
        self.start = nn.Conv2d(channels, channels, 1)
        self.from_vectors = nn.Linear(context_size + input_size, 4 * channels)
        self.from_context = nn.Conv2d(channels, 4 * channels, 3, padding=1)
        self.from_hidden = nn.Conv2d(channels, 4 * channels, 3, padding=1, bias=False)
        self.to_summary = nn.Linear(channels * height * width, hidden)
        assert self.from_context.bias is not None
        open_forget_gate(self.from_context.bias, slice(channels, 2 * channels))  # input, forget, cell, output

    def begin(self, context: Tensor, context_map: Tensor) -> State:
        """Context (B, context_size), its map (B, channels, h, w) -> the state before the first step."""
        hidden = torch.tanh(self.start(context_map))
        return hidden, torch.zeros_like(hidden), context, self.from_context(context_map)

    def forward(self, inputs: Tensor, state: State) -> State:
        """Inputs (B, input_size) and the state of one frame -> the state of the next."""
        hidden, cell, context, gates_of_context = state
        broadcast = self.from_vectors(torch.cat([inputs, context], dim=1))[:, :, None, None]
        gates = self.from_hidden(hidden) + gates_of_context + broadcast
        into, forget, new, out = gates.chunk(4, dim=1)
        cell = torch.sigmoid(forget) * cell + torch.sigmoid(into) * torch.tanh(new)
        return torch.sigmoid(out) * torch.tanh(cell), cell, context, gates_of_context

    def summary(self, state: State) -> Tensor:
        """(B, summary_size)."""
        return torch.tanh(self.to_summary(state[0].flatten(1)))

    def canvas(self, hidden: Tensor) -> Tensor:
        """Hidden states (N, channels, h, w), which are maps already."""
        return hidden


CORES: dict[str, type[LSTMCore] | type[ConvLSTMCore]] = {"lstm": LSTMCore, "conv_lstm": ConvLSTMCore}
