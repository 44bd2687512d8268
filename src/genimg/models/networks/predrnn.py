"""PredRNN: a memory that zigzags through the layers beside the memory of each layer.

Wang et al. 2017, "PredRNN: recurrent neural networks for predictive learning using spatiotemporal LSTMs", and Wang et
al. 2022, "PredRNN: a recurrent neural network for spatiotemporal predictive learning" (PredRNN-V2),
https://arxiv.org/abs/2103.09504, whose equations are cited here.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genimg.models.networks.patches import Patches
from genimg.models.networks.recurrence import Predicted
from genimg.models.networks.recurrent import open_forget_gate


class Memories(NamedTuple):
    """After a step of a cell: (B, hidden, h, w) each."""

    hidden: Tensor
    cell: Tensor  # c, which stays in its layer
    zigzag: Tensor  # m, which passes to the layer above, and from the topmost to the lowest of the next step
    cell_change: Tensor  # i o g, what the step adds to c
    zigzag_change: Tensor  # i' o g', what it adds to m


class SpatiotemporalLSTM(nn.Module):
    """One cell, ST-LSTM (eq. 3).

    Args:
        channels: of the input.
        hidden: of the hidden map and of both memories.
        kernel: side of the filters.
    """

    def __init__(self, channels: int, hidden: int, kernel: int) -> None:
        super().__init__()
        self.hidden = hidden
        # input, forget, cell of c; the same three of m; output
        self.from_input = nn.Conv2d(channels, 7 * hidden, kernel, padding="same")
        self.from_hidden = nn.Conv2d(hidden, 4 * hidden, kernel, padding="same", bias=False)  # c's three, and output
        self.from_zigzag = nn.Conv2d(hidden, 3 * hidden, kernel, padding="same", bias=False)
        self.to_output = nn.Conv2d(2 * hidden, hidden, kernel, padding="same", bias=False)
        self.to_hidden = nn.Conv2d(2 * hidden, hidden, 1)
        assert self.from_input.bias is not None
        open_forget_gate(self.from_input.bias, slice(hidden, 2 * hidden))
        with torch.no_grad():
            self.from_input.bias[4 * hidden : 5 * hidden] = 1

    def forward(self, x: Tensor, hidden: Tensor, cell: Tensor, zigzag: Tensor) -> Memories:
        """Input (B, channels, h, w), and the maps (B, hidden, h, w) of the last step and the layer below."""
        of_cell, of_zigzag, out = self.from_input(x).split((3 * self.hidden, 3 * self.hidden, self.hidden), dim=1)
        recurrent, recurrent_out = self.from_hidden(hidden).split((3 * self.hidden, self.hidden), dim=1)
        cell, cell_change = _update(of_cell + recurrent, cell)
        zigzag, zigzag_change = _update(of_zigzag + self.from_zigzag(zigzag), zigzag)
        both = torch.cat([cell, zigzag], dim=1)
        gate = torch.sigmoid(out + recurrent_out + self.to_output(both))
        return Memories(gate * torch.tanh(self.to_hidden(both)), cell, zigzag, cell_change, zigzag_change)


def _update(gates: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
    """Input, forget and cell gates (B, 3 * hidden, h, w) -> the next memory, and what is added to it."""
    into, forget, new = gates.chunk(3, dim=1)
    change = torch.sigmoid(into) * torch.tanh(new)
    return torch.sigmoid(forget) * memory + change, change


class PredRNN(nn.Module):
    """Stacked ST-LSTM cells over patches, whose two memories are decoupled.

    Args:
        image_size, channels, hidden, layers, kernel, patch: as for `ConvLSTM`.
        decoupling: weight of the mean absolute cosine between the changes of the two memories (eq. 5), which keeps
            them from learning the same.
    """

    def __init__(
        self,
        image_size: int | Sequence[int],
        channels: int,
        hidden: int,
        layers: int,
        kernel: int,
        patch: int,
        decoupling: float,
    ) -> None:
        super().__init__()
        self.hidden, self.decoupling = hidden, decoupling
        self.patches = Patches(image_size, channels, patch)
        inputs = [self.patches.channels, *[hidden] * (layers - 1)]
        self.cells = nn.ModuleList(SpatiotemporalLSTM(count, hidden, kernel) for count in inputs)
        self.to_compared = nn.Conv2d(hidden, hidden, 1, bias=False)  # shared by all layers, as in the paper
        self.to_patches = nn.Conv2d(hidden, self.patches.channels, 1)

    def forward(self, frame: Tensor, state: list[Memories] | None) -> Predicted:
        """See `Recurrence`."""
        h = self.patches.cut(frame)
        zeros = h.new_zeros(len(h), self.hidden, *h.shape[2:])
        zigzag, after = zeros if state is None else state[-1].zigzag, []
        for index, cell in enumerate(self.cells):
            before = (zeros, zeros) if state is None else (state[index].hidden, state[index].cell)
            memories = cell(h, *before, zigzag)
            after.append(memories)
            h, zigzag = memories.hidden, memories.zigzag
        penalty = self.decoupling * torch.stack([self._alike(memories) for memories in after]).mean()
        return Predicted(self.patches.join(self.to_patches(h)), after, penalty if self.training else None)

    def _alike(self, memories: Memories) -> Tensor:
        """The mean absolute cosine between the changes of the two memories, channel by channel, shape ()."""
        pair = (
            self.to_compared(change).float().flatten(2) for change in (memories.cell_change, memories.zigzag_change)
        )
        return F.cosine_similarity(*pair, dim=2).abs().mean()
