"""Moving the start image's own pixels: layers cut out of it, shifted by Gaussian filterbanks, laid over each other.

    moved[i, j] = sum_{a, b} A_y[i, a] A_x[j, b] layer[a, b],    A[i, a] ~ exp(-(a - i + shift)^2 / (2 sigma^2))

An image that is moved stays sharp however often a frame is drawn, because every frame takes its pixels from the
start image itself. The transport is CDNA's (Finn, Goodfellow & Levine 2016, section 3.2: one kernel a layer,
layers composited by masks), the kernels are DRAW's filterbanks (Gregor et al. 2015, section 3.2): separable, so a
layer can cross the whole image at the price of two matrix products, and with a gradient that reaches as far as
sigma is wide.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

SHARPNESS = 60.0  # of the softmax over a correlation in [-1, 1]: about half a pixel wide on strokes 3 pixels thick
MEASURED = 64  # pixels of the longer side that displacements are measured at, at most


def filterbank(shift: Tensor, sigma: Tensor, size: int) -> Tensor:
    """Rows that take each output pixel from where it came from.

    Args:
        shift: how far the content moves, in pixels, shape (...).
        sigma: the kernel's spread in pixels, positive, shape (...).
        size: pixels along the axis.

    Returns:
        (..., size, size), rows over output pixels. A row is normalised as if the axis had no end, so what comes
        from outside the image is missing from its sum.
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
        (B, T, K, C, H, W) in float32; what came from outside the image is 0.
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
    image = background
    for layer in moved.unbind(2):
        colour, coverage = layer.split((layer.shape[2] - 1, 1), dim=2)
        image = colour + (1 - coverage) * image
    return image


def whereabouts(coverage: Tensor) -> Tensor:
    """Where each layer is and how far it reaches: centre of mass and standard deviation along both axes.

    Args:
        coverage: (B, K, H, W) in [0, 1].

    Returns:
        (B, K, 4): down, right, height, width, in parts of the image.
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


@torch.no_grad()
def measure(moving: Tensor, frames: Tensor) -> Tensor:
    """How far each layer has moved in each frame, by the peak of the normalised cross-correlation of the two.

    The estimate that the posteriors start from: right at once where a layer only moves, a hint elsewhere, and no
    gradient passes. Lewis 1995, "Fast normalized cross-correlation", without its local normalisation.

    Args:
        moving: (B, K, C + 1, H, W), as in `Layers`.
        frames: (B, T, C, H, W).

    Returns:
        (B, T, K, 2), down and to the right, in parts of the height and the width.
    """
    with torch.autocast(frames.device.type, enabled=False):
        colours, coverage = moving.float().split((moving.shape[2] - 1, 1), dim=2)
        frames = frames.float()
        average = frames[:, 0].mean((2, 3), keepdim=True).unsqueeze(1)  # (B, 1, C, 1, 1)
        layers = _shrink(colours - average * coverage)  # (B, K, C, h, w)
        frames = _shrink(frames - average)
        height, width = layers.shape[-2:]
        padded = (2 * height, 2 * width)  # so that nothing comes round the border
        spectra = torch.fft.rfft2(frames, padded)[:, :, None] * torch.fft.rfft2(layers, padded)[:, None].conj()
        match = torch.fft.irfft2(spectra.sum(3), padded)  # (B, T, K, 2h, 2w)
        energy = layers.square().sum((2, 3, 4)).sqrt()[:, None] * frames.square().sum((2, 3, 4)).sqrt()[:, :, None]
        match = SHARPNESS * match / (energy + 1e-6)[..., None, None]
        weights = match.flatten(3).softmax(3).unflatten(3, padded)
        down = torch.fft.fftfreq(2 * height, 0.5, device=frames.device)  # 0 .. 1, then -1 .. 0: parts of the height
        right = torch.fft.fftfreq(2 * width, 0.5, device=frames.device)
        return torch.stack([weights.sum(4) @ down, weights.sum(3) @ right], dim=-1)


def _shrink(images: Tensor) -> Tensor:
    """(..., C, H, W) to at most `MEASURED` pixels a side."""
    height, width = images.shape[-2:]
    factor = max(1, math.ceil(max(height, width) / MEASURED))
    flat = images.flatten(0, -4)
    return F.avg_pool2d(flat, factor, ceil_mode=True).unflatten(0, images.shape[:-3]) if factor > 1 else images
