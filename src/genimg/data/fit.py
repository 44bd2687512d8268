"""Images of any size and colour to the shape that the models are given."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from genimg.data.items import ImageShape

Fit = Literal["crop", "pad", "stretch"]
FITS: tuple[Fit, ...] = ("crop", "pad", "stretch")

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, what Pillow's convert("L") takes
_CHUNK = 64  # images resized at once: their floats stay in the processor's cache


def crop_box(size: tuple[int, int], target: tuple[int, int]) -> tuple[float, float, float, float]:
    """(left, top, right, bottom) of the largest centred box of `size` with the aspect ratio of `target`.

    Both sizes are (height, width).
    """
    height, width = size
    scale = min(height / target[0], width / target[1])
    # never past the border by an error of the last digit: Pillow refuses such a box
    box_height, box_width = min(height, target[0] * scale), min(width, target[1] * scale)
    left, top = (width - box_width) / 2, (height - box_height) / 2
    return left, top, min(width, left + box_width), min(height, top + box_height)


def padded_size(size: tuple[int, int], target: tuple[int, int]) -> tuple[int, int]:
    """(height, width) that an image of `size` takes inside `target` when it keeps its aspect ratio."""
    scale = min(target[0] / size[0], target[1] / size[1])
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def with_channels(images: Tensor, channels: int) -> Tensor:
    """uint8 (N, 1 or 3, H, W) to (N, channels, H, W): colour to grey by luma, grey to colour repeated."""
    if images.shape[1] == channels:
        return images
    if channels == 3:
        return images.expand(-1, 3, -1, -1).contiguous()
    luma = torch.tensor(_LUMA).view(1, 3, 1, 1)
    grey = [(part * luma).sum(1, keepdim=True).round().byte() for part in images.split(_CHUNK)]
    return torch.cat(grey)


def fit_images(images: Tensor, shape: ImageShape, fit: Fit, background: int = 0) -> Tensor:
    """uint8 (N, c, h, w) to uint8 (N, C, H, W): cropped, padded with `background` or stretched, then resized
    by antialiased bicubic interpolation, which keeps strokes sharp when it enlarges."""
    channels, *target = shape
    size, goal = (images.shape[2], images.shape[3]), (target[0], target[1])
    images = with_channels(images, channels)
    if size == goal:
        return images
    if fit == "crop":
        left, top, right, bottom = (round(edge) for edge in crop_box(size, goal))
        images = images[:, :, top:bottom, left:right]
    inner = padded_size(size, goal) if fit == "pad" else goal
    out = torch.full((len(images), *shape), background, dtype=torch.uint8)
    top, left = (goal[0] - inner[0]) // 2, (goal[1] - inner[1]) // 2
    for part, room in zip(images.split(_CHUNK), out.split(_CHUNK), strict=True):
        room[:, :, top : top + inner[0], left : left + inner[1]] = _resize(part, inner)
    return out


def _resize(images: Tensor, size: tuple[int, int]) -> Tensor:
    resized = F.interpolate(images.float(), size=size, mode="bicubic", antialias=True, align_corners=False)
    return resized.round_().clamp_(0, 255).byte()
