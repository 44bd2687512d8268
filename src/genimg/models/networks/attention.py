"""Self-attention between the positions of a feature map (SAGAN, Zhang et al. 2019, https://arxiv.org/abs/1805.08318)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genimg.models.networks.spectral import convolution


class SelfAttention(nn.Module):
    """x + strength * attention(x), with a learned strength that starts at 0.

    Queries and keys have an eighth of the channels and values half of them. Keys and values come from positions that
    are pooled in pairs along both axes, as in the authors' code; the scores are not scaled.

    Args:
        channels: channels of the map.
        spectral: whether the convolutions have spectral normalisation.
    """

    def __init__(self, channels: int, spectral: bool) -> None:
        super().__init__()
        narrow, half = max(1, channels // 8), max(1, channels // 2)
        self.query = convolution(channels, narrow, 1, spectral, bias=False)
        self.key = convolution(channels, narrow, 1, spectral, bias=False)
        self.value = convolution(channels, half, 1, spectral, bias=False)
        self.output = convolution(half, channels, 1, spectral, bias=False)
        self.strength = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W), shape kept."""
        height, width = x.shape[2:]
        query = self.query(x).flatten(2)  # (B, C/8, H, W) -> (B, C/8, H*W)
        key, value = (F.max_pool2d(layer(x), 2, ceil_mode=True).flatten(2) for layer in (self.key, self.value))
        # torch's scaled_dot_product_attention cannot be differentiated twice, as a gradient penalty requires
        weights = (key.transpose(1, 2) @ query).softmax(1)  # (B, h*w, H*W), over the h*w pooled positions
        h = self.output((value @ weights).unflatten(2, (height, width)))  # (B, C/2, H*W) -> (B, C, H, W)
        return x + self.strength.to(h.dtype) * h
