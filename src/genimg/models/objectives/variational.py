"""Diagonal Gaussians as posteriors: divergences, samples, and bounds of the log-variance.

    log p(x) >= E_q(z|x)[log p(x | z)] - KL(q(z | x) || p(z)) = ELBO        Kingma & Welling 2013, eq. 3

A Gaussian is `mean` and `log_var` (natural logarithm of the variance), both of shape (B, ...). All leave
autocast by themselves: they compute in float32, divergences in nats, a value per item.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def gaussian_kl(mean: Tensor, log_var: Tensor) -> Tensor:
    """KL(N(mean, exp log_var) || N(0, I)) in nats, shape (B,). Kingma & Welling 2013, app. B."""
    mean, log_var = mean.float(), log_var.float()
    return 0.5 * (mean.square() + log_var.exp() - 1 - log_var).flatten(1).sum(1)


def gaussian_kl_between(mean_q: Tensor, log_var_q: Tensor, mean_p: Tensor, log_var_p: Tensor) -> Tensor:
    """KL(q || p) of two diagonal Gaussians in nats, summed over all axes but the first: (B, ...) -> (B,).

    For a learned prior p. Written with differences of log-variances, so that equal Gaussians give exactly 0.
    """
    mean_q, log_var_q, mean_p, log_var_p = (t.float() for t in (mean_q, log_var_q, mean_p, log_var_p))
    difference = log_var_q - log_var_p
    distance = (mean_q - mean_p).square() * (-log_var_p).exp()
    return 0.5 * (distance + difference.exp() - 1 - difference).flatten(1).sum(1)


def reparameterise(mean: Tensor, log_var: Tensor, noise: Tensor) -> Tensor:
    """z = mean + sigma * noise, a sample of N(mean, exp log_var) when `noise` is standard normal; shape kept.

    Kingma & Welling 2013, section 2.4.
    """
    return mean.float() + (0.5 * log_var.float()).exp() * noise


def normal_like(x: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Standard normal noise with the shape and device of `x`, in float32."""
    return torch.randn(x.shape, generator=generator, device=x.device)


def soft_bound(x: Tensor, low: float = -math.inf, high: float = math.inf) -> Tensor:
    """`x` bent smoothly into (low, high): close to `x` well inside, never without gradient. Shape kept.

    For log-variances, whose exponential must neither overflow nor vanish. Rybkin et al. 2021 (sigma-VAE).
    """
    x = x.float()
    if low > -math.inf:
        x = low + F.softplus(x - low)
    if high < math.inf:
        x = high - F.softplus(high - x)
    return x
