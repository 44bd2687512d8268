"""Spectral normalisation: layers whose weights have a largest singular value of 1.

References:
    Miyato et al. 2018, "Spectral normalization for generative adversarial networks", section 2.1 and appendix A,
    https://arxiv.org/abs/1802.05957
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrize import register_parametrization

from genimg.models.networks.periodic import Padding


class SpectralNorm(nn.Module):
    """A weight W divided by an estimate of its largest singular value, W as a matrix (outputs, inputs).

        training:  v = W^T u / |W^T u|,  u <- W v / |W v|,  W / (u^T W v)      one step of the power iteration
        eval:      W / |W^T u|                                                 a function of W and u

    The gradient treats u and v as constants. u is a buffer that keeps its place in memory, unlike those of
    `torch.nn.utils.parametrizations.spectral_norm`. It is scaled to length 1 before each use, because the EMA averages
    it. Processes with equal weights have equal vectors.

    Args:
        outputs: rows of W.
    """

    u: Tensor

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.register_buffer("u", _unit(torch.randn(outputs)))

    def forward(self, weight: Tensor) -> Tensor:
        """(outputs, ...) in float32, shape kept."""
        matrix = weight.flatten(1)
        constant = matrix.detach()
        u = _unit(self.u)
        v = _unit((constant * u[:, None]).sum(0))  # W^T u as a sum, because autocast would round the product
        if self.training:
            u = _unit((constant * v).sum(1))
            self.u.copy_(u)
        return weight / (matrix * torch.outer(u, v)).sum()


def _unit(vector: Tensor) -> Tensor:
    return F.normalize(vector, dim=0)


def normalised(layer: nn.Module) -> nn.Module:
    """The layer with spectral normalisation of its `weight`."""
    weight = layer.weight
    assert isinstance(weight, Tensor)
    register_parametrization(layer, "weight", SpectralNorm(len(weight)))
    return layer


def convolution(
    inputs: int,
    outputs: int,
    kernel: int,
    spectral: bool,
    bias: bool = True,
    gain: float = 1.0,
    padding: Padding = "zeros",
) -> nn.Module:
    """A convolution that keeps the size of the map, initialised as by Glorot & Bengio 2010, eq. 16, times `gain`.

    padding: a name of `PADDINGS`.
    """
    layer = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=bias, padding_mode=padding)
    return _initialised(layer, spectral, gain)


def linear(inputs: int, outputs: int, spectral: bool) -> nn.Module:
    """A fully connected layer, initialised likewise."""
    return _initialised(nn.Linear(inputs, outputs), spectral, gain=1.0)


def _initialised(layer: nn.Conv2d | nn.Linear, spectral: bool, gain: float) -> nn.Module:
    nn.init.xavier_uniform_(layer.weight, gain)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return normalised(layer) if spectral else layer
