"""Moves the pixels of the start image: its layers are shifted by Gaussian filterbanks and composited.

    moved[i, j] = sum_{a, b} A_y[i, a] A_x[j, b] layer[a, b],    A[i, a] ~ exp(-(a - i + shift)^2 / (2 sigma^2))

Every frame takes its pixels from the start image, so a moved image stays sharp in a clip of any length. The transport
is that of CDNA (Finn, Goodfellow & Levine 2016, section 3.2): one kernel per layer, layers composited by masks. The
kernels are the filterbanks of DRAW (Gregor et al. 2015, section 3.2). They are separable, so a layer can cross the
image at the cost of two matrix products. Their gradient reaches as far as sigma.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

SHARPNESS = 60.0  # inverse temperature of the softmax over correlations: about half a pixel on strokes of 3 pixels
REACH = 8.0  # standard deviations; a weight beyond is below 1e-13, and denormal numbers slow a product tenfold
LONGEST_SIDE = 64  # pixels; larger images are reduced before their shifts are measured


def filterbank(shift: Tensor, sigma: Tensor, size: int) -> Tensor:
    """A matrix whose rows weight the source pixels of each output pixel.

    Args:
        shift: displacement of the content in pixels, shape (...).
        sigma: standard deviation of the kernel in pixels, positive, shape (...).
        size: pixels along the axis.

    Returns:
        (..., size, size), rows over output pixels. A row is normalised over an infinite axis, so its sum lacks the
        part from outside the image.
    """
    shift, sigma = shift.float()[..., None], sigma.float()[..., None]
    # a weight depends on the distance of two pixels only, so all rows are windows of one line
    distances = torch.arange(1 - size, size, device=shift.device, dtype=torch.float32)
    line = _gaussian((distances + shift) / sigma)
    # the kernel's sum over all integer pixels, also beyond the border: nine terms suffice for sigma < 1; for larger
    # sigma it equals the integral to 8 digits
    nearest = torch.arange(-4, 5, device=shift.device, dtype=torch.float32)
    summed = _gaussian((shift.round() - shift - nearest) / sigma).sum(-1, keepdim=True)
    line = line / torch.where(sigma < 1, summed, math.sqrt(2 * math.pi) * sigma)
    return line.unfold(-1, size, 1).flip(-2)


def _gaussian(distance: Tensor) -> Tensor:
    """exp(-distance^2 / 2), or 0 beyond `REACH`."""
    return torch.where(distance.abs() < REACH, torch.exp(-0.5 * distance.clamp(-REACH, REACH).square()), 0)


def move(layers: Tensor, shift: Tensor, sigma: Tensor) -> Tensor:
    """Shifts every layer by its own vector at every step.

    Args:
        layers: (B, K, C, H, W).
        shift: (B, T, K, 2), down and to the right, as fractions of the height and the width.
        sigma: (B, T, K), pixels.

    Returns:
        (B, T, K, C, H, W) in float32; pixels from outside the image are 0.
    """
    height, width = layers.shape[-2:]
    rows = filterbank(shift[..., 0] * height, sigma, height)  # (B, T, K, H, H)
    columns = filterbank(shift[..., 1] * width, sigma, width)  # (B, T, K, W, W)
    with torch.autocast(layers.device.type, enabled=False):
        # all steps of a layer in one product, then all its channels
        across = layers.float().flatten(2, 3) @ columns.permute(0, 2, 4, 1, 3).flatten(3)  # (B, K, C H, T W)
        across = across.unflatten(3, (-1, width)).unflatten(2, (-1, height))  # (B, K, C, H, T, W)
        moved = rows @ across.permute(0, 4, 1, 3, 2, 5).flatten(4)  # (B, T, K, H, C W)
        return moved.unflatten(4, (-1, width)).transpose(3, 4)


def composite(moved: Tensor, background: Tensor) -> Tensor:
    """Composites layers over a background, later layers on top (the "over" operator of Porter & Duff 1984).

    Args:
        moved: (B, T, K, C + 1, H, W): colours times coverage, then the coverage in [0, 1].
        background: (B, T, C, H, W).
    """
    image = background
    for layer in moved.unbind(2):
        colour, coverage = layer.split((layer.shape[2] - 1, 1), dim=2)
        image = colour + (1 - coverage) * image
    return image


def bend(images: Tensor, flow: Tensor) -> Tensor:
    """Samples images (N, C, H, W) at displaced places, bicubically, which blurs less; the border continues them.

    flow: (N, 2, h, w) of any size, from a place of the result to that in the image, down and to the right, in units of
        1/16 of the height and the width.
    """
    height, width = images.shape[-2:]
    flow = F.interpolate(flow, size=(height, width), mode="bilinear", align_corners=False) / 8  # 2 is the whole image
    rows = (2 * torch.arange(height, device=images.device) + 1) / height - 1
    columns = (2 * torch.arange(width, device=images.device) + 1) / width - 1
    places = torch.stack([columns + flow[:, 1], rows[:, None] + flow[:, 0]], dim=3)
    return F.grid_sample(images, places, mode="bicubic", padding_mode="border", align_corners=False)


def centroid_and_extent(coverage: Tensor) -> Tensor:
    """Centroid and standard deviation of each layer along both axes.

    Args:
        coverage: weights of the pixels of each layer, (B, K, H, W), 0 or more.

    Returns:
        (B, K, 4): down, right, height, width, as fractions of the image.
    """
    weights = coverage.float()
    weights = weights / (weights.sum((2, 3), keepdim=True) + 1e-6)
    per_axis = []
    for axis in (2, 3):
        size = weights.shape[axis]
        at = (torch.arange(size, device=weights.device) + 0.5) / size
        along = weights.sum(5 - axis)  # (B, K, size)
        centre = (along * at).sum(2)
        variance = (along * (at - centre.unsqueeze(2)).square()).sum(2)
        per_axis.append((centre, (variance + 1e-6).sqrt()))
    (down, height), (right, width) = per_axis
    return torch.stack([down, right, height, width], dim=2)


@torch.no_grad()
def measure_shifts(moving: Tensor, frames: Tensor) -> Tensor:
    """Shift of each layer in each frame, from the peak of their normalised cross-correlation.

    The posteriors start from this estimate. It is exact if a layer only translates, and passes no gradient. Lewis 1995,
    "Fast normalized cross-correlation", without its local normalisation.

    Args:
        moving: (B, K, C + 1, H, W), as in `Layers`.
        frames: (B, T, C, H, W).

    Returns:
        (B, T, K, 2), down and to the right, as fractions of the height and the width.
    """
    with torch.autocast(frames.device.type, enabled=False):
        colours, coverage = moving.float().split((moving.shape[2] - 1, 1), dim=2)
        frames = frames.float()
        mean = frames[:, 0].mean((2, 3), keepdim=True).unsqueeze(1)  # (B, 1, C, 1, 1)
        layers = _reduce(colours - mean * coverage)  # (B, K, C, h, w)
        frames = _reduce(frames - mean)
        height, width = layers.shape[-2:]
        padded = (2 * height, 2 * width)  # so that nothing wraps around the border
        spectra = torch.fft.rfft2(frames, padded)[:, :, None] * torch.fft.rfft2(layers, padded)[:, None].conj()
        match = torch.fft.irfft2(spectra.sum(3), padded)  # (B, T, K, 2h, 2w)
        energy = layers.square().sum((2, 3, 4)).sqrt()[:, None] * frames.square().sum((2, 3, 4)).sqrt()[:, :, None]
        match = SHARPNESS * match / (energy + 1e-6)[..., None, None]
        weights = match.flatten(3).softmax(3).unflatten(3, padded)
        down = torch.fft.fftfreq(2 * height, 0.5, device=frames.device)  # 0 .. 1, then -1 .. 0: fractions of the height
        right = torch.fft.fftfreq(2 * width, 0.5, device=frames.device)
        return torch.stack([weights.sum(4) @ down, weights.sum(3) @ right], dim=-1)


def _reduce(images: Tensor) -> Tensor:
    """(..., C, H, W) with sides of at most `LONGEST_SIDE` pixels."""
    height, width = images.shape[-2:]
    factor = max(1, math.ceil(max(height, width) / LONGEST_SIDE))
    flat = images.flatten(0, -4)
    return F.avg_pool2d(flat, factor, ceil_mode=True).unflatten(0, images.shape[:-3]) if factor > 1 else images
