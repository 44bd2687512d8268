"""Observation models p(x | z): log-likelihoods of images in [-1, 1], in nats, a value per item.

Each function takes what the decoder says of every pixel, and the images, both of shape (B, ...), and sums
over all axes but the first (a mean would change the scale of the likelihood against the KL: blur by design).
All leave autocast by themselves: float32.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from genimg.models.objectives.variational import soft_bound

#: Half the distance of two neighbouring levels of 8 bits in [-1, 1].
HALF_LEVEL = 1 / 255

#: The optimal sigma is kept softly above exp(-6). Rybkin et al. 2021 (sigma-VAE), section 4.
MIN_LOG_SIGMA = -6.0


def bernoulli(logits: Tensor, images: Tensor) -> Tensor:
    """Minus the cross-entropy of pixels (x + 1) / 2 in [0, 1] with probabilities sigmoid(logits), shape (B,).

    A log-likelihood only where pixels are -1 or 1. For grey ones it is a loss with its best value at
    sigmoid(logits) = (x + 1) / 2, and that value is not 0. Kingma & Welling 2013, app. C.1.
    """
    targets = (images.float() + 1) / 2
    return -F.binary_cross_entropy_with_logits(logits.float(), targets, reduction="none").flatten(1).sum(1)


def bernoulli_mean(logits: Tensor) -> Tensor:
    """The mean image 2 sigmoid(logits) - 1 in [-1, 1], shape kept."""
    return 2 * torch.sigmoid(logits.float()) - 1


def gaussian(mean: Tensor, log_sigma: Tensor, images: Tensor) -> Tensor:
    """log N(images; mean, sigma^2) as a density in nats, shape (B,). `log_sigma` broadcasts."""
    log_sigma = log_sigma.float()
    standardised = (images.float() - mean.float()) * (-log_sigma).exp()
    return -(0.5 * standardised.square() + log_sigma + 0.5 * math.log(2 * math.pi)).flatten(1).sum(1)


def optimal_log_sigma(mse: Tensor) -> Tensor:
    """log of the one sigma that maximises `gaussian` over a whole batch, from its mean squared error: sigma^2 = MSE.

    Shape (). Softly above `MIN_LOG_SIGMA`. Rybkin et al. 2021 (sigma-VAE), eq. 6.
    """
    tiny = torch.finfo(torch.float32).tiny  # a perfect batch has log 0
    return soft_bound(0.5 * (mse + tiny).log(), low=MIN_LOG_SIGMA)


def discretized_logistic(mean: Tensor, log_scale: Tensor, images: Tensor) -> Tensor:
    """log of a logistic distribution's mass on each pixel's 8-bit level, shape (B,).

    The level at x takes the mass between x - 1/255 and x + 1/255; level 0 takes all below and level 255 all
    above, so the 256 masses sum to 1. `log_scale` broadcasts. Salimans et al. 2017, eq. 2, one component.
    The mass is sigmoid(b) - sigmoid(a) = sigmoid(b) sigmoid(-a) (1 - exp(a - b)), which has no
    cancellation, so no clamp is needed.
    """
    images, inverse_scale = images.float(), (-log_scale.float()).exp()
    centred = images - mean.float()
    upper = (centred + HALF_LEVEL) * inverse_scale
    lower = (centred - HALF_LEVEL) * inverse_scale
    log_below_upper = F.logsigmoid(upper)
    log_above_lower = F.logsigmoid(-lower)
    log_width = torch.log(-torch.expm1(-2 * HALF_LEVEL * inverse_scale))
    middle = log_below_upper + log_above_lower + log_width
    lowest, highest = images < -1 + HALF_LEVEL, images > 1 - HALF_LEVEL
    masses = torch.where(lowest, log_below_upper, torch.where(highest, log_above_lower, middle))
    return masses.flatten(1).sum(1)


#: Every likelihood by the name that `model.likelihood` takes.
LIKELIHOODS: dict[str, Callable[..., Tensor]] = {
    "bernoulli": bernoulli,
    "gaussian": gaussian,
    "discretized_logistic": discretized_logistic,
}
