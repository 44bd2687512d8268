"""How alike pictures and their reconstructions are, pixel by pixel and window by window.

The figures themselves are torchmetrics', of pictures in [0, 1] with that range said out loud.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torchmetrics.functional.image import (
    multiscale_structural_similarity_index_measure,
    structural_similarity_index_measure,
)

from genimg.evaluation.figure import Figure
from genimg.features.extractor import Extractor

_PART = 250
_WINDOW = 11  # of SSIM, in pixels
_SCALES = 5  # of MS-SSIM: four halvings, and at the last a window must still fit
SMALLEST_MS = _WINDOW * 2 ** (_SCALES - 1)  # pixels: 176


def structure(
    images: Tensor, reconstruct: Callable[[Tensor, slice], Tensor], extractor: Extractor, device: torch.device
) -> list[Figure]:
    """Figures between pictures and what a model makes of them.

    Args:
        images: uint8 (N, C, H, W), held-out.
        reconstruct: a part of them, uint8, and where it lies among them -> uint8 of the same shape.
    """
    sums: dict[str, float] = {}
    for start in range(0, len(images), _PART):
        where = slice(start, start + _PART)
        real = images[where]
        made = reconstruct(real, where)
        values = pixel_figures(made.float() / 255, real.float() / 255)
        of_made, of_real = (extractor(part, device).double() for part in (made, real))
        values["cosine distance of features"] = 1 - torch.cosine_similarity(of_made, of_real)
        for name, value in values.items():
            sums[name] = sums.get(name, 0.0) + float(value.double().sum())
    return [figure(name, total / len(images), len(images)) for name, total in sums.items()]


def pixel_figures(made: Tensor, real: Tensor, multiscale: bool = True) -> dict[str, Tensor]:
    """A value a picture, (N,): floats (N, C, H, W) in [0, 1]; MS-SSIM where it fits and is wanted."""
    error = (made - real).square().flatten(1).mean(1)
    values = {"mse": error, "psnr": psnr(error), "ssim": ssim(made, real)}
    if multiscale and min(real.shape[2:]) >= SMALLEST_MS:
        values["ms-ssim"] = multiscale_structural_similarity_index_measure(
            made, real, data_range=1.0, reduction="none", normalize="relu"
        )
    return values


def ssim(made: Tensor, real: Tensor) -> Tensor:
    """(N,): Wang et al. 2004, a Gaussian window of 11 pixels; a flat one where the picture is smaller than that."""
    shorter = min(real.shape[2:])
    window = min(_WINDOW, shorter - 1 + shorter % 2)
    smaller = {"gaussian_kernel": False, "kernel_size": window} if window < _WINDOW else {}
    found = structural_similarity_index_measure(made, real, data_range=1.0, reduction="none", **smaller)
    assert isinstance(found, Tensor)
    return found.reshape(len(made))


def psnr(error: Tensor) -> Tensor:
    """Decibels of mean squared errors in [0, 1]; an error of 0 counts as that of half a level of 255."""
    return -10 * error.clamp_min((0.5 / 255) ** 2).log10()


def figure(name: str, value: float, n: int) -> Figure:
    lower = name in ("mse", "cosine distance of features")
    unit = {"psnr": "dB", "mse": "a pixel, pictures in [0, 1]"}.get(name, "")
    kind = "proxy" if name == "cosine distance of features" else "exact"
    return Figure("structure", name, value, kind, n, "lower" if lower else "higher", unit=unit)
