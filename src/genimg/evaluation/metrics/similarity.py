"""Metrics between pairs of images: MSE, PSNR, SSIM, MS-SSIM, LPIPS and the cosine distance of features.

SSIM and MS-SSIM are computed by torchmetrics on images in [0, 1] with `data_range=1`.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torchmetrics.functional.image import (
    multiscale_structural_similarity_index_measure,
    structural_similarity_index_measure,
)

from genimg.evaluation.figure import Better
from genimg.evaluation.metrics.lpips import LPIPS

_WINDOW = 11  # pixels of the SSIM window
_SCALES = 5  # of MS-SSIM: the window must fit after four halvings
MS_SSIM_SMALLEST = _WINDOW * 2 ** (_SCALES - 1)  # pixels: 176


class Description(NamedTuple):
    """How a metric is to be read; see `Figure`."""

    better: Better
    kind: str = "exact"
    unit: str = ""


COSINE = "cosine distance of features"
METRICS: dict[str, Description] = {
    "mse": Description("lower", unit="per pixel, images in [0, 1]"),
    "psnr": Description("higher", unit="dB"),
    "ssim": Description("higher"),
    "ms-ssim": Description("higher"),
    "lpips": Description("lower", "proxy"),
    COSINE: Description("lower", "proxy"),
}


def similarity(made: Tensor, real: Tensor, lpips: LPIPS | None) -> dict[str, Tensor]:
    """The pixel metrics of pairs of uint8 images (N, C, H, W), and LPIPS if it is available: (N,) each."""
    perceptual = {} if lpips is None else {"lpips": lpips(made, real)}
    return pixel_metrics(made.float() / 255, real.float() / 255) | perceptual


def pixel_metrics(made: Tensor, real: Tensor) -> dict[str, Tensor]:
    """MSE, PSNR, SSIM, and MS-SSIM of large images: float images (N, C, H, W) in [0, 1] -> (N,) each."""
    error = (made - real).square().flatten(1).mean(1)
    values = {"mse": error, "psnr": psnr(error), "ssim": ssim(made, real)}
    if min(real.shape[2:]) >= MS_SSIM_SMALLEST:
        values["ms-ssim"] = multiscale_structural_similarity_index_measure(
            made, real, data_range=1.0, reduction="none", normalize="relu"
        )
    return values


def ssim(made: Tensor, real: Tensor) -> Tensor:
    """SSIM (N,) with a Gaussian window of 11 pixels (Wang et al. 2004); a uniform window if the image is smaller."""
    shorter = min(real.shape[2:])
    window = min(_WINDOW, shorter - 1 + shorter % 2)
    smaller = {"gaussian_kernel": False, "kernel_size": window} if window < _WINDOW else {}
    values = structural_similarity_index_measure(made, real, data_range=1.0, reduction="none", **smaller)
    assert isinstance(values, Tensor)
    return values.reshape(len(made))


def psnr(error: Tensor) -> Tensor:
    """PSNR in dB of mean squared errors in [0, 1]; the error is at least that of half a level of 255."""
    return -10 * error.clamp_min((0.5 / 255) ** 2).log10()


def cosine_distance(a: Tensor, b: Tensor) -> Tensor:
    """1 minus the cosine of the angle between vectors (..., D): (...), in float64."""
    return 1 - torch.cosine_similarity(a.double(), b.double(), dim=-1)
