"""Layers with equalised learning rates (Karras et al. 2018, "Progressive growing of GANs", section 4.1).

Weights are stored with variance 1 and multiplied in the forward pass by He's constant, so that an optimizer with
normalised steps changes all layers at one relative rate. The gain of sqrt(2) of a leaky ReLU is part of that factor,
because leaky_relu(g x) = g leaky_relu(x) for g > 0.
"""

from math import sqrt

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SLOPE = 0.2  # of the leaky ReLU


class EqualLinear(nn.Module):
    """A fully connected layer, (B, inputs) -> (B, outputs).

    Args:
        inputs, outputs: lengths of the vectors.
        activate: whether a leaky ReLU with gain sqrt(2) follows.
        rate: factor of the learning rate.
        bias: initial bias.
    """

    def __init__(self, inputs: int, outputs: int, activate: bool = False, rate: float = 1.0, bias: float = 0.0) -> None:
        super().__init__()
        self.activate = activate
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / rate)
        self.bias = nn.Parameter(torch.full((outputs,), bias / rate))
        self.bias_scale = rate * (sqrt(2) if activate else 1)
        self.weight_scale = self.bias_scale / sqrt(inputs)

    def forward(self, x: Tensor) -> Tensor:
        h = F.linear(x, self.weight * self.weight_scale, self.bias * self.bias_scale)
        return F.leaky_relu(h, SLOPE) if self.activate else h


class EqualConv2d(nn.Module):
    """A convolution, (B, inputs, h, w) -> (B, outputs, h, w); of stride 2 and without padding if `down` is true.

    Args:
        inputs, outputs: channels.
        kernel: side of the kernel, odd.
        activate: whether a leaky ReLU with gain sqrt(2) follows.
        gain: factor of the output.
        down: whether the stride is 2.
        bias: whether there is a bias, which starts at 0.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        activate: bool = False,
        gain: float = 1.0,
        down: bool = False,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.activate = activate
        self.stride, self.padding = (2, 0) if down else (1, kernel // 2)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        self.bias_scale = gain * (sqrt(2) if activate else 1)
        self.weight_scale = self.bias_scale / sqrt(inputs * kernel**2)

    def forward(self, x: Tensor) -> Tensor:
        bias = None if self.bias is None else self.bias * self.bias_scale
        h = F.conv2d(x, self.weight * self.weight_scale, bias, self.stride, self.padding)
        return F.leaky_relu(h, SLOPE) if self.activate else h
