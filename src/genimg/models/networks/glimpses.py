"""Glimpses: attention to a part of an image, by a grid of N x N Gaussian filters that is moved and scaled.

    g_X = (W + 1) / 2 (g'_X + 1),   g_Y = (H + 1) / 2 (g'_Y + 1),   delta = (max(W, H) - 1) / (N - 1) delta'
    mu_X[i] = g_X + (i - N / 2 - 0.5) delta,   i = 1 ... N; mu_Y likewise
    F_X[i, a] = exp(-(a - mu_X[i])^2 / 2 sigma^2) / Z,   a = 1 ... W; F_Y likewise

    read(x) = gamma F_Y x F_X^T          write(w) = F_Y^T w F_X / gamma

Gregor et al. 2015, "DRAW: A recurrent neural network for image generation", sections 3.2 and 3.3,
https://arxiv.org/abs/1502.04623
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from genimg.models.objectives.variational import soft_bound

#: Soft bounds of the logarithms of variance, stride and gain, so that no weights give an infinite number.
LOG_RANGE = (-10.0, 10.0)

#: Standard deviation of the first filters, in distances between them. Narrower ones leave gaps between them.
FIRST_SIGMA = 0.5


class Glimpse(NamedTuple):
    """The filters of a batch of glimpses, float32."""

    rows: Tensor  # F_Y, (B, N, H)
    columns: Tensor  # F_X, (B, N, W)
    gain: Tensor  # gamma, (B, 1, 1, 1)

    def read(self, images: Tensor) -> Tensor:
        """Images (B, C, H, W) -> patches (B, C, N, N)."""
        batch, channels, height, width = images.shape
        narrow = images.reshape(batch, channels * height, width) @ self.columns.mT  # (B, C * H, N)
        narrow = narrow.unflatten(1, (channels, height)).transpose(1, 2).flatten(2)  # (B, H, C * N)
        patches = (self.rows @ narrow).unflatten(2, (channels, -1))  # (B, N, C, N)
        return self.gain * patches.transpose(1, 2)

    def write(self, patches: Tensor) -> Tensor:
        """Patches (B, C, N, N) -> images (B, C, H, W)."""
        channels = patches.shape[1]
        tall = self.rows.mT @ (patches / self.gain).transpose(1, 2).flatten(2)  # (B, H, C * N)
        tall = tall.unflatten(2, (channels, -1)).transpose(1, 2).flatten(1, 2)  # (B, C * H, N)
        return (tall @ self.columns).unflatten(1, (channels, -1))


def filters(centre: Tensor, stride: Tensor, log_variance: Tensor, size: int, length: int) -> Tensor:
    """Filters along one axis, (B, size, length), each with the sum 1, from parameters (B, 1) in pixels.

    The first pixel of the axis is at 1. A softmax normalises filters that are far outside the image, too, where all
    exponentials are 0: they see its border.
    """
    grid = torch.arange(1, size + 1, device=centre.device) - size / 2 - 0.5
    means = centre + grid * stride  # (B, size)
    distances = torch.arange(1, length + 1, device=centre.device) - means.unsqueeze(2)
    return (-0.5 * distances.square() * (-log_variance).exp().unsqueeze(2)).softmax(2)


def full_stride(size: int, height: int, width: int) -> float:
    """The distance of N = `size` filters per side that cover an image. That of a single filter has no effect."""
    return (max(height, width) - 1) / max(size - 1, 1)


def glimpse(parameters: Tensor, size: int, height: int, width: int) -> Glimpse:
    """The glimpses of N = `size` filters per side for (g'_X, g'_Y, log sigma^2, log delta', log gamma), (B, 5)."""
    across, down, log_variance, log_stride, log_gain = parameters.split(1, dim=1)
    stride = full_stride(size, height, width) * log_stride.exp()
    return Glimpse(
        filters((height + 1) / 2 * (down + 1), stride, log_variance, size, height),
        filters((width + 1) / 2 * (across + 1), stride, log_variance, size, width),
        log_gain.exp()[:, :, None, None],
    )


class Attention(nn.Module):
    """Where to look or to draw: from the state of the decoder to a glimpse. At first it covers the image.

    Args:
        hidden: length of the state.
        size: filters per side, N.
        image_size: height and width of the image, or one number for both.
        writes: whether the gain is at first that of patches, which keep their values on the canvas.
    """

    def __init__(self, hidden: int, size: int, image_size: int | tuple[int, int], writes: bool) -> None:
        super().__init__()
        height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
        self.size, self.height, self.width = size, int(height), int(width)
        self.to_parameters = nn.Linear(hidden, 5)
        stride = full_stride(size, self.height, self.width)
        with torch.no_grad():
            self.to_parameters.bias.zero_()
            self.to_parameters.bias[2] = 2 * math.log(FIRST_SIGMA * stride)
            # a filter spreads a value over stride^2 pixels, each of which gets as little of it
            self.to_parameters.bias[4] = -2 * math.log(stride) if writes else 0

    def forward(self, hidden: Tensor) -> Glimpse:
        """State (B, hidden) -> the filters of its glimpse."""
        centre, logarithms = self.to_parameters(hidden).float().split([2, 3], dim=1)
        parameters = torch.cat([centre, soft_bound(logarithms, *LOG_RANGE)], dim=1)
        return glimpse(parameters, self.size, self.height, self.width)
