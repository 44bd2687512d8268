"""Latents of a standard normal distribution: cut off, and the way between two of them."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def truncate(z: Tensor, threshold: float) -> Tensor:
    """Standard normal z to the normal cut off at +-`threshold`, by the increasing map between the two.

    The distribution is that of drawing again what lies outside (Brock et al. 2019, BigGAN, section 3.1), but
    the same z stays the same image, more typical the smaller the threshold.
    """
    if not threshold > 0:
        raise ValueError(f"threshold must be more than 0 standard deviations, got {threshold}")
    inside = math.erf(threshold / math.sqrt(2))
    mapped = torch.erfinv(torch.erf(z.double() / math.sqrt(2)) * inside) * math.sqrt(2)
    return mapped.clamp(-threshold, threshold).to(z.dtype)


def slerp(start: Tensor, end: Tensor, t: Tensor) -> Tensor:
    """Latents (len(t), ...) on the way from `start` (t = 0) to `end` (t = 1), of any one shape.

    The direction goes along the great circle (Shoemake 1985), the length linearly. Where the two point the
    same way or opposite ways, that is a straight line.
    """
    a, b = start.double().flatten(), end.double().flatten()
    t = t.double().unsqueeze(1)
    angle = torch.acos((a @ b / (a.norm() * b.norm())).clamp(-1, 1))
    if not torch.sin(angle) > 1e-6:
        path = (1 - t) * a + t * b
    else:
        direction = torch.sin((1 - t) * angle) * a / a.norm() + torch.sin(t * angle) * b / b.norm()
        path = direction / torch.sin(angle) * ((1 - t) * a.norm() + t * b.norm())
    return path.to(start.dtype).view(len(t), *start.shape)
