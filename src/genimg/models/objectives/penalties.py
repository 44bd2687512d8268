"""Gradient penalties of a critic, and the path lengths of a generator: one value per image, shape (B,).

`critic` maps images (B, C, H, W) to logits (B,) and must process each image, or each group of images, independently (no
batch statistics).
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

Critic = Callable[[Tensor], Tensor]


def squared_gradient(critic: Critic, images: Tensor) -> Tensor:
    """`|grad_x D(x)|^2`, summed over C, H, W, by double backward: the penalty R1 on real and R2 on fake images.

    Mescheder et al. 2018, eq. 9 and 10; the caller multiplies by their gamma / 2.
    """
    return _gradient(critic, images).square().flatten(1).sum(1)


def squared_gradient_estimate(
    critic: Critic, images: Tensor, step: float, directions: int, generator: torch.Generator | None = None
) -> Tensor:
    """An estimate of `squared_gradient` from first derivatives only: ((D(x + s v) - D(x - s v)) / 2 s)^2, v ~ N(0, I).

    As s goes to 0, its mean over v is `|grad D|^2`, because `E[(v . g)^2] = |g|^2`. The two points cancel the
    error of order s, and float32 keeps the small difference. Its gradient in the critic's weights has the right mean
    and a large variance, which falls with the number of directions; `squared_gradient` on fewer images is better at
    equal time.

    Args:
        step: s, in units of the images' [-1, 1].
        directions: number of directions v per image, over which the estimate is the mean.
    """
    return _slopes(critic, images, step, directions, generator).square().mean(0)


def unit_gradient(critic: Critic, images: Tensor) -> Tensor:
    """`(|grad_x D(x)| - 1)^2` by double backward. Gulrajani et al. 2017, eq. 3; its x are `random_mixtures`."""
    return (_gradient(critic, images).flatten(1).norm(dim=1) - 1).square()


def unit_gradient_estimate(
    critic: Critic, images: Tensor, step: float, directions: int, generator: torch.Generator | None = None
) -> Tensor:
    """An estimate of `unit_gradient` from first derivatives only, of which an image's may be below 0.

    It is r^2 - 2 r / c + 1 for the root r of `squared_gradient_estimate` over k directions: the slopes are normal, so r
    has the mean `c |grad D|`, where c = sqrt(2 / k) Gamma((k + 1) / 2) / Gamma(k / 2), and the estimate has the right
    mean as s goes to 0. The arguments and the noise of its gradient are those of `squared_gradient_estimate`.
    """
    k = directions
    root = _slopes(critic, images, step, k, generator).norm(dim=0) / k**0.5
    mean = (2 / k) ** 0.5 * math.exp(math.lgamma((k + 1) / 2) - math.lgamma(k / 2))
    return root.square() - 2 * root / mean + 1


def random_mixtures(real: Tensor, fake: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Points on the lines between images (B, C, H, W) and others, uniform on each. Gulrajani et al. 2017, section 4."""
    mix = torch.rand((real.shape[0], 1, 1, 1), generator=generator, device=real.device, dtype=real.dtype)
    return torch.lerp(fake, real, mix)


def _slopes(critic: Critic, images: Tensor, step: float, directions: int, generator: torch.Generator | None) -> Tensor:
    """The slopes (directions, B) of the critic at each image in random directions."""
    with torch.autocast(images.device.type, enabled=False):
        images = images.detach().float()
        return torch.stack([_slope(critic, images, step, generator) for _ in range(directions)])


def _slope(critic: Critic, images: Tensor, step: float, generator: torch.Generator | None) -> Tensor:
    """The slope of the critic at each image in one random direction, from the difference of two logits."""
    noise = step * torch.randn(images.shape, generator=generator, device=images.device)
    above, below = critic(torch.cat([images + noise, images - noise])).chunk(2)
    return (above - below) / (2 * step)


def off_centre(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """(D(x) + D(G(z)))^2 of logits (B,), 0 where their middle is 0, which objectives of differences leave open.

    Lin et al. 2025, "Adversarial flow models", https://arxiv.org/abs/2511.22475, with a weight of 0.01.
    """
    return (real_logits + fake_logits).square()


def path_lengths(images: Tensor, w: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """The lengths `|J^T y|` of steps in image space per step in w, for one random image y each, with a graph.

    J is the Jacobian of an image in the styles w of its L layers. Karras et al. 2020 (StyleGAN2), section 3.2. As in
    the authors' code, y has the variance 1 / (H W), and a length is the root of the mean square over the layers.

    Args:
        images: a function of `w`, (B, C, H, W).
        w: (B, L, w_dim).
    """
    y = torch.randn(images.shape, generator=generator, device=images.device) / math.prod(images.shape[2:]) ** 0.5
    (gradient,) = torch.autograd.grad((images * y).sum(), w, create_graph=True)  # (B, L, w_dim)
    return gradient.square().sum(2).mean(1).sqrt()


def _gradient(critic: Critic, images: Tensor) -> Tensor:
    """grad_x D(x) with a graph of its own, in float32: half precision loses the second derivative."""
    with torch.autocast(images.device.type, enabled=False):
        images = images.detach().float().requires_grad_()
        (gradient,) = torch.autograd.grad(critic(images).sum(), images, create_graph=True)
    return gradient
