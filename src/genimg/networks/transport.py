"""Moving the start picture's own pixels: layers cut out of it, shifted by Gaussian filterbanks, laid over each other.

    moved[i, j] = sum_{a, b} A_y[i, a] A_x[j, b] layer[a, b],    A[i, a] ~ exp(-(a - i + shift)^2 / (2 sigma^2))

A picture that is moved stays sharp however often a frame is drawn, because every frame takes its pixels from the
start picture itself. The transport is CDNA's (Finn, Goodfellow & Levine 2016, section 3.2: one kernel a layer,
layers composited by masks), the kernels are DRAW's filterbanks (Gregor et al. 2015, section 3.2): separable, so a
layer can cross the whole picture at the price of two matrix products, and with a gradient that reaches as far as
sigma is wide.
"""

import torch
from torch import Tensor


def filterbank(shift: Tensor, sigma: Tensor, size: int) -> Tensor:
    """Rows that take each output pixel from where it came from.

    Args:
        shift: how far the content moves, in pixels, shape (...).
        sigma: the kernel's spread in pixels, positive, shape (...).
        size: pixels along the axis.

    Returns:
        (..., size, size), rows over output pixels. A row is normalised as if the axis had no end, so what comes
        from outside the picture is missing from its sum.
    """
    shift, sigma = shift.float()[..., None, None], sigma.float()[..., None, None]
    pixels = torch.arange(size, device=shift.device, dtype=torch.float32)
    source = pixels[:, None] - shift  # (..., size, 1)
    reach = torch.exp(-0.5 * ((pixels - source) / sigma).square())  # (..., size, size)
    # The sum of the kernel over all whole pixels, near as well as far from the border. Three terms each side of
    # the nearest pixel are all of it for sigma < 0.5; beyond, it is sqrt(2 pi) sigma to 1 part in 50.
    offset = source - source.round()
    near = sum(torch.exp(-0.5 * ((offset + k) / sigma).square()) for k in range(-3, 4))
    whole = torch.maximum(near, (2 * torch.pi) ** 0.5 * sigma)
    return reach / whole


def move(layers: Tensor, shift: Tensor, sigma: Tensor) -> Tensor:
    """Shift every layer by its own vector at every step.

    Args:
        layers: (B, K, C, H, W).
        shift: (B, T, K, 2), down and to the right, as fractions of the height and the width.
        sigma: (B, T, K), pixels.

    Returns:
        (B, T, K, C, H, W) in float32; what came from outside the picture is 0.
    """
    height, width = layers.shape[-2:]
    rows = filterbank(shift[..., 0] * height, sigma, height)  # (B, T, K, H, H)
    columns = filterbank(shift[..., 1] * width, sigma, width)  # (B, T, K, W, W)
    with torch.autocast(layers.device.type, enabled=False):
        across = layers.float()[:, None] @ columns.transpose(-1, -2)[:, :, :, None]  # (B, T, K, C, H, W)
        return rows[:, :, :, None] @ across


def lay_over(moved: Tensor, background: Tensor) -> Tensor:
    """Layers over a background, the later ones on top ("over", Porter & Duff 1984).

    Args:
        moved: (B, T, K, C + 1, H, W): colours times coverage, then the coverage in [0, 1].
        background: (B, T, C, H, W).
    """
    picture = background
    for layer in moved.unbind(2):
        colour, coverage = layer.split((layer.shape[2] - 1, 1), dim=2)
        picture = colour + (1 - coverage) * picture
    return picture
