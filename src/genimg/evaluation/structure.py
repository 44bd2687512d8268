"""How alike images and their reconstructions are, pixel by pixel and window by window.

The figures themselves are torchmetrics', of images in [0, 1] with that range said out loud.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torchmetrics.functional.image import (
    multiscale_structural_similarity_index_measure,
    structural_similarity_index_measure,
)

from genimg.evaluation.features.extractor import Extractor
from genimg.evaluation.figure import Figure
from genimg.evaluation.perceptual import Perceptual

_PART = 250
_WINDOW = 11  # of SSIM, in pixels
_SCALES = 5  # of MS-SSIM: four halvings, and at the last a window must still fit
MS_SSIM, COSINE, LPIPS = "ms-ssim", "cosine distance of features", "lpips"
PROXIES = (COSINE, LPIPS)  # what a network sees
SMALLEST_MS = _WINDOW * 2 ** (_SCALES - 1)  # pixels: 176


def structure(
    images: Tensor,
    reconstruct: Callable[[Tensor, slice], Tensor],
    extractor: Extractor,
    device: torch.device,
    perceptual: Perceptual | None,
) -> list[Figure]:
    """Figures between images and what a model makes of them; floor: another of the images in its place.

    Args:
        images: uint8 (N, C, H, W), held-out.
        reconstruct: a part of them, uint8, and where it lies among them -> uint8 of the same shape.
        perceptual: LPIPS, where it can be had.
    """
    features = extractor(images, device)
    # half the set away, so that an image does not meet its own class where the set is sorted
    others = torch.arange(len(images)).roll(len(images) // 2)
    values: dict[str, list[Tensor]] = {}
    floors: dict[str, list[Tensor]] = {}
    for start in range(0, len(images), _PART):
        where = slice(start, start + _PART)
        made = reconstruct(images[where], where)
        other = others[where]
        compared = ((values, made, extractor(made, device)), (floors, images[other], features[other]))
        for found, candidates, vectors in compared:
            now = pixel_figures(candidates.float() / 255, images[where].float() / 255)
            now[COSINE] = cosine_distance(vectors, features[where])
            if perceptual is not None:
                now[LPIPS] = perceptual(candidates, images[where])
            for name, value in now.items():
                found.setdefault(name, []).append(value.double())
    return [_figure(name, torch.cat(parts), torch.cat(floors[name])) for name, parts in values.items()]


def pixel_figures(made: Tensor, real: Tensor) -> dict[str, Tensor]:
    """A value an image, (N,): floats (N, C, H, W) in [0, 1]; MS-SSIM where it fits."""
    error = (made - real).square().flatten(1).mean(1)
    values = {"mse": error, "psnr": psnr(error), "ssim": ssim(made, real)}
    if min(real.shape[2:]) >= SMALLEST_MS:
        values[MS_SSIM] = multiscale_structural_similarity_index_measure(
            made, real, data_range=1.0, reduction="none", normalize="relu"
        )
    return values


def ssim(made: Tensor, real: Tensor) -> Tensor:
    """(N,): Wang et al. 2004, a Gaussian window of 11 pixels; a flat one where the image is smaller than that."""
    shorter = min(real.shape[2:])
    window = min(_WINDOW, shorter - 1 + shorter % 2)
    smaller = {"gaussian_kernel": False, "kernel_size": window} if window < _WINDOW else {}
    found = structural_similarity_index_measure(made, real, data_range=1.0, reduction="none", **smaller)
    assert isinstance(found, Tensor)
    return found.reshape(len(made))


def psnr(error: Tensor) -> Tensor:
    """Decibels of mean squared errors in [0, 1]; an error of 0 counts as that of half a level of 255."""
    return -10 * error.clamp_min((0.5 / 255) ** 2).log10()


def cosine_distance(a: Tensor, b: Tensor) -> Tensor:
    """1 minus the cosine of the angle between vectors (..., D): (...), in float64."""
    return 1 - torch.cosine_similarity(a.double(), b.double(), dim=-1)


def _figure(name: str, values: Tensor, floors: Tensor) -> Figure:
    unit = {"psnr": "dB", "mse": "a pixel, images in [0, 1]"}.get(name, "")
    return Figure(
        "structure",
        name,
        float(values.mean()),
        "proxy" if name in PROXIES else "exact",
        len(values),
        "lower" if name in ("mse", *PROXIES) else "higher",
        float(floors.mean()),
        unit=unit,
        note="floor: another test image in place of the reconstruction",
    )
