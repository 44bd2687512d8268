"""Resampling by a factor of two with the binomial filter [1, 3, 3, 1] / 8, which passes little aliasing.

It is the filter [1, 2, 1] convolved with the [1, 1] of repeated or averaged pixels (Karras et al. 2019, StyleGAN,
section 2; R3GAN, Huang et al. 2024). Outside the image all values are 0, unless it is circular.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genimg.models.networks.periodic import wrap

TAPS = (0.125, 0.375, 0.375, 0.125)


class Upsample(nn.Module):
    """(B, C, h, w) -> (B, C, H, W) with H in {2h - 1, 2h} and W in {2w - 1, 2w}.

    Output 2i is (x[i - 1] + 3 x[i]) / 4 and output 2i + 1 is (3 x[i] + x[i + 1]) / 4, on both axes. For an odd size
    the last output is left out.

    Args:
        size: (H, W).
        circular: whether the opposite border is outside the map, instead of zeros.
    """

    kernel: Tensor

    def __init__(self, size: tuple[int, int], circular: bool = False) -> None:
        super().__init__()
        self.size, self.circular = size, circular
        self.register_buffer("kernel", _kernel(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        height, width = self.size
        with torch.autocast(x.device.type, enabled=False):
            kernel = _per_channel(4 * self.kernel, x)
            y, cut = (wrap(x), 3) if self.circular else (x, 1)
            y = F.conv_transpose2d(y.to(kernel), kernel, stride=2, padding=cut, groups=len(kernel))
            return y[..., :height, :width].to(x)


class Downsample(nn.Module):
    """(B, C, H, W) -> (B, C, ceil(H / 2), ceil(W / 2)).

    Output i is (x[2i - 1] + 3 x[2i] + 3 x[2i + 1] + x[2i + 2]) / 8 on both axes. An odd size repeats its last line, so
    that this line counts as much as the others.
    """

    kernel: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("kernel", _kernel(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        with torch.autocast(x.device.type, enabled=False):
            kernel = _per_channel(self.kernel, x)
            y = x.to(kernel)
            if height % 2 or width % 2:
                y = F.pad(y, (0, width % 2, 0, height % 2), mode="replicate")
            return F.conv2d(y, kernel, stride=2, padding=1, groups=len(kernel)).to(x)


class Blur(nn.Module):
    """(B, C, H, W) -> (B, C, H + 2 padding - 3, W + 2 padding - 3), the filter alone.

    Args:
        padding: lines of zeros on each side of the map.
        gain: factor of the output.
    """

    kernel: Tensor

    def __init__(self, padding: int, gain: float = 1.0) -> None:
        super().__init__()
        self.padding, self.gain = padding, gain
        self.register_buffer("kernel", _kernel(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            kernel = _per_channel(self.gain * self.kernel, x)
            return F.conv2d(x.to(kernel), kernel, padding=self.padding, groups=len(kernel)).to(x)


def _kernel() -> Tensor:
    """The filter on both axes, (1, 1, 4, 4), with sum 1. It has values also in a model built on the meta device."""
    taps = torch.tensor(TAPS, device="cpu")
    return torch.outer(taps, taps)[None, None]


def _per_channel(kernel: Tensor, x: Tensor) -> Tensor:
    """The kernel of each channel of x, (C, 1, 4, 4), at least in float32: half precision is slow here on CPUs."""
    return kernel.to(torch.promote_types(x.dtype, torch.float32)).expand(x.shape[1], 1, 4, 4)
