"""Moving the start picture's own pixels: layers cut out of it, shifted by Gaussian filterbanks, laid over each other.

    moved[i, j] = sum_{a, b} A_y[i, a] A_x[j, b] layer[a, b],    A[i, a] ~ exp(-(a - i + shift)^2 / (2 sigma^2))

A picture that is moved stays sharp however often a frame is drawn, because every frame takes its pixels from the
start picture itself. The transport is CDNA's (Finn, Goodfellow & Levine 2016, section 3.2: one kernel a layer,
layers composited by masks), the kernels are DRAW's filterbanks (Gregor et al. 2015, section 3.2): separable, so a
layer can cross the whole picture at the price of two matrix products, and with a gradient that reaches as far as
sigma is wide.
"""

import math

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
    # The kernel's sum over all whole pixels, also those beyond the border. Nine terms are all of it for sigma < 1;
    # from there on it equals its integral to 8 digits.
    offset = source - source.round()
    nearest = torch.arange(-4, 5, device=shift.device, dtype=torch.float32)
    summed = torch.exp(-0.5 * ((offset - nearest) / sigma).square()).sum(-1, keepdim=True)
    return reach / torch.where(sigma < 1, summed, math.sqrt(2 * math.pi) * sigma)


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


def whereabouts(coverage: Tensor) -> Tensor:
    """Where each layer is and how far it reaches: centre of mass and standard deviation along both axes.

    Args:
        coverage: (B, K, H, W) in [0, 1].

    Returns:
        (B, K, 4): down, right, height, width, in parts of the picture.
    """
    weights = coverage.float()
    weights = weights / (weights.sum((2, 3), keepdim=True) + 1e-6)
    places = []
    for axis in (2, 3):
        size = weights.shape[axis]
        at = (torch.arange(size, device=weights.device) + 0.5) / size
        along = weights.sum(5 - axis)  # (B, K, size)
        centre = (along * at).sum(2)
        spread = (along * (at - centre.unsqueeze(2)).square()).sum(2)
        places.append((centre, (spread + 1e-6).sqrt()))
    (down, height), (right, width) = places
    return torch.stack([down, right, height, width], dim=2)
