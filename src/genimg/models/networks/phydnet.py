"""PhyDNet: a cell whose filters are partial derivatives predicts what physics explains, a ConvLSTM the rest.

Le Guen & Thome 2020, "Disentangling physical dynamics from unknown factors for unsupervised video prediction",
https://arxiv.org/abs/2003.01460
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from math import factorial
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genimg.models.networks.conv_lstm import ConvLSTMCell, Memory
from genimg.models.networks.frames import group_norm
from genimg.models.networks.recurrence import Predicted


def moments(filters: Tensor) -> Tensor:
    """The moments of filters (..., n, n), of the same shape (eq. 9; Long et al. 2018, "PDE-Net", eq. 6).

    M[i, j] = 1 / (i! j!) sum_{u, v} u^i v^j filter[u, v], with u and v counted from the middle. A filter whose only
    moment is M[i, j] = 1 computes the derivative of order i along the rows and j along the columns.
    """
    side = filters.shape[-1]
    # the middle of an even side is where a convolution with padding "same" has it
    places = torch.arange(side, device=filters.device, dtype=torch.float32) - (side - 1) // 2
    powers = torch.stack([places**order / factorial(order) for order in range(side)])  # (orders, side)
    return powers @ filters.float() @ powers.T


class PhyCell(nn.Module):
    """One physical cell: a step of a partial differential equation, then a correction by the frame (section 3.2).

    The gain is a sigmoid, as in the code of the authors.

        h~ = h + sum_{i, j} c_ij d^(i + j) h / (dx^i dy^j)
        K = sigmoid(W_h * h~ + W_x * x + b),  h' = h~ + K o (x - h~)

    Args:
        channels: of the input and the hidden map.
        order: side of the filters: derivatives of orders 0 to order - 1 in each direction.
    """

    def __init__(self, channels: int, order: int) -> None:
        super().__init__()
        self.derivatives = nn.Conv2d(channels, order**2, order, padding="same")
        self.norm = nn.GroupNorm(order, order**2)
        self.coefficients = nn.Conv2d(order**2, channels, 1)
        self.gate = nn.Conv2d(2 * channels, channels, 3, padding=1)

    def forward(self, x: Tensor, hidden: Tensor) -> Tensor:
        """Input and hidden map (B, channels, h, w) -> the next hidden map."""
        predicted = hidden + self.coefficients(self.norm(self.derivatives(hidden)))
        gain = torch.sigmoid(self.gate(torch.cat([x, predicted], dim=1)))
        return predicted + gain * (x - predicted)

    def moment_loss(self) -> Tensor:
        """The squared distance of the moments to those of the derivatives, shape () (eq. 10)."""
        found = moments(self.derivatives.weight)  # (order^2, channels, order, order)
        order = found.shape[-1]
        wanted = torch.eye(order**2, device=found.device).view(order**2, 1, order, order)
        return (found - wanted).square().mean((0, 2, 3)).sum()


class State(NamedTuple):
    physical: Tensor  # (B, channels, h, w)
    residual: list[Memory]  # of each ConvLSTM cell


class PhyDNet(nn.Module):
    """Both branches between one encoder and one decoder of frames.

    Args:
        image_size, channels: of a frame.
        hidden: channels of the maps that both branches read, at a quarter of the image's size.
        layers: number of ConvLSTM cells.
        cell_width: channels of each but the last one, which has `hidden`.
        order: of the physical cell.
        moment: weight of the moment loss.
    """

    def __init__(
        self,
        image_size: int | Sequence[int],
        channels: int,
        hidden: int,
        layers: int,
        cell_width: int,
        order: int,
        moment: float,
    ) -> None:
        super().__init__()
        height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
        half = ((height + 1) // 2, (width + 1) // 2)
        coarse = ((half[0] + 1) // 2, (half[1] + 1) // 2)
        self.sizes = (half, (int(height), int(width)))  # to which the decoder enlarges
        self.moment = moment
        fine = max(1, hidden // 2)
        self.encode = nn.Sequential(block(channels, fine, 2), block(fine, fine), block(fine, hidden, 2))
        self.to_physical = nn.Sequential(block(hidden, hidden), block(hidden, hidden))
        self.to_residual = nn.Sequential(block(hidden, hidden), block(hidden, hidden))
        self.physical = PhyCell(hidden, order)
        sizes = [hidden, *[cell_width] * (layers - 1), hidden]
        self.residual = nn.ModuleList(ConvLSTMCell(a, b, 3, coarse) for a, b in pairwise(sizes))
        self.of_physical = nn.Sequential(block(hidden, hidden), block(hidden, hidden))
        self.of_residual = nn.Sequential(block(hidden, hidden), block(hidden, hidden))
        self.decode = nn.ModuleList([nn.Sequential(block(hidden, fine), block(fine, fine)), block(fine, fine)])
        self.to_image = nn.Conv2d(fine, channels, 3, padding=1)

    def forward(self, frame: Tensor, state: State | None) -> Predicted:
        """See `Recurrence`."""
        h = self.encode(frame)
        physical = self.physical(self.to_physical(h), torch.zeros_like(h) if state is None else state.physical)
        r, memories = self.to_residual(h), []
        for index, cell in enumerate(cast(Iterable[ConvLSTMCell], self.residual)):
            memory = cell(r, cell.begin(r) if state is None else state.residual[index])
            memories.append(memory)
            r = memory[0]
        h = self.of_physical(physical) + self.of_residual(r)
        for size, decode in zip(self.sizes, self.decode, strict=True):
            h = decode(F.interpolate(h, size=size))
        outputs = self.to_image(h)
        penalty = self.moment * self.physical.moment_loss() if self.training else None
        return Predicted(outputs, State(physical, memories), penalty)


def block(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """A convolution of 3 x 3, normalisation by groups, and a rectifier."""
    conv = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1)
    return nn.Sequential(conv, group_norm(outputs), nn.LeakyReLU(0.2))
