"""Gradient penalties of a critic, one value per image, shape (B,).

`critic` maps images (B, C, H, W) to logits (B,) and must process each image independently (no batch statistics).
"""

from collections.abc import Callable

import torch
from torch import Tensor

Critic = Callable[[Tensor], Tensor]


def squared_gradient(critic: Critic, images: Tensor) -> Tensor:
    """|grad_x D(x)|^2, summed over C, H, W, by double backward: the penalty R1 on real and R2 on fake images.

    Mescheder et al. 2018, eq. 9 and 10; the caller multiplies by their gamma / 2.
    """
    return _gradient(critic, images).square().flatten(1).sum(1)


def nearby(images: Tensor, step: float, generator: torch.Generator | None = None) -> Tensor:
    """x + s v with v ~ N(0, I): images near x, for `squared_gradient_estimate`.

    Args:
        step: s, in units of the images' [-1, 1].
    """
    noise = torch.randn(images.shape, generator=generator, device=images.device, dtype=images.dtype)
    return images + step * noise


def squared_gradient_estimate(logits: Tensor, nearby_logits: Tensor, step: float) -> Tensor:
    """An estimate of `squared_gradient` from two logits (B,) of an image: ((D(x + s v) - D(x)) / s)^2.

    As s goes to 0, its mean over v is |grad D|^2, because E[(v . g)^2] = |g|^2. It needs first derivatives only: it
    costs a third of the double backward, and the nearby images share the forward pass of the batch.
    """
    return ((nearby_logits - logits) / step).square()


def unit_gradient_penalty(
    critic: Critic, real: Tensor, fake: Tensor, generator: torch.Generator | None = None
) -> Tensor:
    """(|grad D| - 1)^2 at random points between real and fake images. Gulrajani et al. 2017, eq. 3."""
    mix = torch.rand((real.shape[0], 1, 1, 1), generator=generator, device=real.device, dtype=real.dtype)
    between = torch.lerp(fake, real, mix)
    norms = _gradient(critic, between).flatten(1).norm(dim=1)
    return (norms - 1).square()


def _gradient(critic: Critic, images: Tensor) -> Tensor:
    """grad_x D(x) with a graph of its own, in float32: half precision loses the second derivative."""
    with torch.autocast(images.device.type, enabled=False):
        images = images.detach().float().requires_grad_()
        (gradient,) = torch.autograd.grad(critic(images).sum(), images, create_graph=True)
    return gradient
