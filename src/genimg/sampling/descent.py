"""Latents whose images are most like given images, found by descent of the squared error.

Adam on the latents, with a learning rate that rises in the first 5% of the steps and falls in the last 25% (Karras et
al. 2020, "Analyzing and improving the image quality of StyleGAN", appendix D).
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

RATE = 0.1  # largest learning rate, in standard deviations of the latents (appendix D)
WARM_UP, COOL_DOWN = 0.05, 0.25  # shares of the steps (appendix D)
COARSEST = 4  # pixels of the shorter side of the smallest images that are compared


def descend(
    draw: Callable[[Tensor], Tensor], starts: Tensor, scales: Tensor, targets: Tensor, steps: int
) -> tuple[Tensor, Tensor]:
    """Of all latents (M, ...) on the way from the starts, those with the lowest loss, and their loss (M,).

    scales: the unit of a step, (M, 1, ...).
    """
    moved = torch.zeros_like(starts, requires_grad=True)
    adam = torch.optim.Adam([moved], lr=RATE)
    best, least = starts, torch.full((len(starts),), math.inf, device=starts.device)
    for step in range(steps + 1):
        values = starts + scales * moved
        errors = pyramid_error(draw(values), targets)
        lower = errors.detach() < least
        least = torch.where(lower, errors.detach(), least)
        best = torch.where(lower.view(-1, *[1] * (starts.dim() - 1)), values.detach(), best)
        if step < steps:
            adam.param_groups[0]["lr"] = learning_rate((step + 0.5) / steps)
            adam.zero_grad()
            errors.sum().backward(inputs=[moved])
            adam.step()
    return best, least


def pyramid_error(images: Tensor, targets: Tensor) -> Tensor:
    """Mean squared error (B,) of images (B, C, H, W), summed over the images and their halvings to `COARSEST` pixels.

    The reduced images have a gradient where the details of the two images do not overlap yet.
    """
    difference = images - targets
    errors = [difference.square().mean((1, 2, 3))]
    while min(difference.shape[2:]) > COARSEST:
        difference = F.avg_pool2d(difference, 2, ceil_mode=True)
        errors.append(difference.square().mean((1, 2, 3)))
    return torch.stack(errors).sum(0)


def learning_rate(share: float) -> float:
    """The learning rate at a share of the steps, from 0 to 1: a linear rise, and at the end a fall to 0 on a cosine."""
    fall = min(1.0, (1 - share) / COOL_DOWN)
    return RATE * min(1.0, share / WARM_UP) * 0.5 * (1 - math.cos(math.pi * fall))
