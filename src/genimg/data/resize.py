"""Fits image tensors of any size and number of channels to the shape that the models need."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from genimg.data.items import ImageShape

Fit = Literal["crop", "pad", "stretch"]
FITS: tuple[Fit, ...] = ("crop", "pad", "stretch")

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as Pillow's convert("L")
_CHUNK = 64  # images resized at once: their floats fit into the CPU cache


def crop_box(size: tuple[int, int], target: tuple[int, int]) -> tuple[float, float, float, float]:
    """Returns (left, top, right, bottom) of the largest centred box in `size` with the aspect ratio of `target`.

    Both sizes are (height, width).
    """
    height, width = size
    scale = min(height / target[0], width / target[1])
    # a rounding error must not exceed the border: Pillow rejects such a box
    box_height, box_width = min(height, target[0] * scale), min(width, target[1] * scale)
    left, top = (width - box_width) / 2, (height - box_height) / 2
    return left, top, min(width, left + box_width), min(height, top + box_height)


def padded_size(size: tuple[int, int], target: tuple[int, int]) -> tuple[int, int]:
    """Returns the largest (height, width) inside `target` with the aspect ratio of `size`."""
    scale = min(target[0] / size[0], target[1] / size[1])
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def with_channels(images: Tensor, channels: int) -> Tensor:
    """Converts uint8 (N, 1 or 3, H, W) to (N, channels, H, W): RGB to luma, grey to three equal channels."""
    if images.shape[1] == channels:
        return images
    if channels == 3:
        return images.expand(-1, 3, -1, -1).contiguous()
    luma = torch.tensor(_LUMA).view(1, 3, 1, 1)
    grey = [(part * luma).sum(1, keepdim=True).round().byte() for part in images.split(_CHUNK)]
    return torch.cat(grey)


def fit_images(images: Tensor, shape: ImageShape, fit: Fit, background: int = 0) -> Tensor:
    """Crops, pads with `background` or stretches uint8 (N, c, h, w), and resizes to uint8 (N, *shape).

    Resizing is bicubic with antialiasing, which keeps strokes sharp when images are enlarged.
    """
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
