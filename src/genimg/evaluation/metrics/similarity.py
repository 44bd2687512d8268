"""Metrics between pairs of images: MSE, PSNR, SSIM, MS-SSIM, LPIPS and the cosine distance of features."""

from typing import NamedTuple

import torch
from torch import Tensor

from genimg.common.ssim import MS_SSIM_SMALLEST, ms_ssim, ssim
from genimg.evaluation.figure import Better
from genimg.evaluation.metrics.lpips import LPIPS


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
        values["ms-ssim"] = ms_ssim(made, real)
    return values


def psnr(error: Tensor) -> Tensor:
    """PSNR in dB of mean squared errors in [0, 1]; the error is at least that of half a level of 255."""
    return -10 * error.clamp_min((0.5 / 255) ** 2).log10()


def cosine_distance(a: Tensor, b: Tensor) -> Tensor:
    """1 minus the cosine of the angle between vectors (..., D): (...), in float64."""
    return 1 - torch.cosine_similarity(a.double(), b.double(), dim=-1)
