"""The sliced Wasserstein distance between two sets of pictures, by local patches at several scales.

Karras et al. 2018 (ProGAN), section 5: patches of 7 x 7 pixels from every level of a Laplacian pyramid, each
channel of the patches standardised, and the distance between the two sets of patches by random projections. The
finest level sees sharpness and noise, the coarsest sees shapes. It needs no network and no labels; it is a proxy for
choosing among checkpoints of one run, not a figure to publish.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

PATCH = 7
PATCHES_PER_IMAGE = 4
PROJECTIONS = 64
COARSEST = 8  # pixels of the shorter side below which no level is made


def sliced_wasserstein(images_a: Tensor, images_b: Tensor, generator: torch.Generator) -> float:
    """The mean over pyramid levels; 0 for identical sets, about 1 for sets as far apart as their own spread.

    Args:
        images_a, images_b: float (N, C, H, W), the same number in each.
        generator: for patch positions and projections, on the CPU; the same for every call that is compared.
    """
    if images_a.shape != images_b.shape:
        raise ValueError(f"sets must have one shape, got {tuple(images_a.shape)} and {tuple(images_b.shape)}")
    levels = zip(laplacian_pyramid(images_a.float().cpu()), laplacian_pyramid(images_b.float().cpu()), strict=True)
    distances = [_level_distance(level_a, level_b, generator) for level_a, level_b in levels]
    return float(torch.stack(distances).mean())


def laplacian_pyramid(images: Tensor) -> list[Tensor]:
    """Differences between an image and its half-size version, fine to coarse; the coarsest is the image itself."""
    levels = []
    while min(images.shape[-2:]) >= 2 * COARSEST:
        half = F.avg_pool2d(images, 2, ceil_mode=True)
        levels.append(images - F.interpolate(half, size=images.shape[-2:], mode="bilinear", align_corners=False))
        images = half
    return [*levels, images]


def _level_distance(level_a: Tensor, level_b: Tensor, generator: torch.Generator) -> Tensor:
    rows, columns = _positions(level_a, generator)
    a, b = (_patches(level, rows, columns) for level in (level_a, level_b))
    mean, std = b.mean(dim=(0, 2, 3), keepdim=True), b.std(dim=(0, 2, 3), keepdim=True).clamp_min(1e-6)
    a, b = (((patches - mean) / std).flatten(1) for patches in (a, b))  # (P, C, 7, 7) -> (P, C*49)
    directions = F.normalize(torch.randn(a.shape[1], PROJECTIONS, generator=generator), dim=0)
    return ((a @ directions).sort(dim=0).values - (b @ directions).sort(dim=0).values).abs().mean()


def _positions(level: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Upper left corners of the patches, (N, PATCHES_PER_IMAGE) each; the same for both sets."""
    shape = (len(level), PATCHES_PER_IMAGE)
    height, width = level.shape[-2:]
    return (
        torch.randint(height - PATCH + 1, shape, generator=generator),
        torch.randint(width - PATCH + 1, shape, generator=generator),
    )


def _patches(level: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """(N, C, H, W) -> (N * PATCHES_PER_IMAGE, C, 7, 7)."""
    windows = level.unfold(2, PATCH, 1).unfold(3, PATCH, 1)  # (N, C, H-6, W-6, 7, 7)
    image = torch.arange(len(level))[:, None].expand_as(rows)
    return windows[image, :, rows, columns].flatten(0, 1)  # (N, P, C, 7, 7) -> (N*P, C, 7, 7)
