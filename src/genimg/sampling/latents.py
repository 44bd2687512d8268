"""Truncation and interpolation of standard normal latents."""

import math

import torch
from torch import Tensor


def truncate(z: Tensor, threshold: float) -> Tensor:
    """Maps standard normal z to the normal distribution truncated at +-`threshold`; the shape is kept.

    The map is increasing, and the result has the same distribution as resampling the values outside the interval
    (Brock et al. 2019, BigGAN, section 3.1). The same z therefore gives the same image, which becomes more typical as
    the threshold decreases.

    Raises:
        ValueError: if `threshold`, in standard deviations, is not positive.
    """
    if not threshold > 0:
        raise ValueError(f"threshold must be more than 0 standard deviations, got {threshold}")
    inside = math.erf(threshold / math.sqrt(2))
    mapped = torch.erfinv(torch.erf(z.double() / math.sqrt(2)) * inside) * math.sqrt(2)
    return mapped.clamp(-threshold, threshold).to(z.dtype)


def slerp(start: Tensor, end: Tensor, t: Tensor) -> Tensor:
    """Spherical interpolation from `start` (t = 0) to `end` (t = 1), both of one shape; returns (len(t), *shape).

    The direction follows the great circle (Shoemake 1985); the length is interpolated linearly. For parallel and
    opposite latents the interpolation is linear.
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
