"""Observation models p(x | z): log-likelihoods of images in [-1, 1] in nats, one value per item.

Each function takes the decoder's outputs and the images, both of shape (B, ...), and sums over all axes but the first.
A mean would rescale the likelihood against the KL, which blurs. All compute in float32.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from genimg.models.objectives.variational import soft_bound

#: Half the distance between neighbouring 8-bit levels in [-1, 1].
HALF_LEVEL = 1 / 255

#: The optimal sigma is at least exp(-6), a third of a level of 8 bits.
MIN_LOG_SIGMA = -6.0

#: The scale of the logistic is kept softly above exp(-7), a quarter of `HALF_LEVEL`.
MIN_LOG_SCALE = -7.0

#: The probability of a black or white pixel is at most 1 - this, so one wrong pixel costs at most 7 nats.
MIN_PROBABILITY = 1e-3


def bernoulli(logits: Tensor, images: Tensor) -> Tensor:
    """The negative cross-entropy of pixels (x + 1) / 2 in [0, 1] with probabilities sigmoid(logits), shape (B,).

    This is a log-likelihood only if all pixels are -1 or 1. For grey pixels it is a loss, which is maximal at
    sigmoid(logits) = (x + 1) / 2 and not 0 there. Kingma & Welling 2013, app. C.1.
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

    Shape (). Exact down to `MIN_LOG_SIGMA`, which it does not go below. Rybkin et al. 2021 (sigma-VAE), eq. 6.
    """
    return 0.5 * mse.float().clamp_min(math.exp(2 * MIN_LOG_SIGMA)).log()


def discretized_logistic(mean: Tensor, log_scale: Tensor, images: Tensor) -> Tensor:
    """The sum of `logistic_log_mass` over all values of an image, shape (B,)."""
    return logistic_log_mass(mean, log_scale, images).flatten(1).sum(1)


def logistic_log_mass(mean: Tensor, log_scale: Tensor, images: Tensor) -> Tensor:
    """log of a logistic distribution's mass on each pixel's 8-bit level, of the shape to which all broadcast.

    The level at x takes the mass between x - 1/255 and x + 1/255; level 0 takes all below and level 255 all
    above, so the 256 masses sum to 1. Salimans et al. 2017, eq. 2, one component.
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
    return torch.where(lowest, log_below_upper, torch.where(highest, log_above_lower, middle))


def _clamped(outputs: Tensor) -> Tensor:
    return outputs.float().clamp(-1, 1)


def _bernoulli_outputs(mean: Tensor) -> Tensor:
    probability = MIN_PROBABILITY + (0.5 - MIN_PROBABILITY) * (mean + 1)
    return torch.logit(probability)


def bounded_log_scale(log_scale: Tensor) -> Tensor:
    """The log-scale of the logistic, kept softly above `MIN_LOG_SCALE`."""
    return soft_bound(log_scale, low=MIN_LOG_SCALE)


@dataclass(frozen=True)
class Likelihood:
    """An observation model p(x | z) with all that a model needs to use it.

    Attributes:
        log_prob: (outputs, log_scale, images) -> nats (B,).
        mean: outputs of the decoder -> the mean image in [-1, 1].
        outputs: a mean image in [-1, 1] -> outputs with that mean, for decoders that draw images directly.
        scale: `none`; `learned`, one parameter for all pixels; or `optimal`, computed from the error of the batch.
        scale_metrics: log_scale -> the metric that reports the scale.
        not_a_probability: why log_prob is not a log-probability of 8-bit images; None if it is one.
        is_density: whether log_prob is a log-probability or a log-density of grey images. If not, the objective is a
            loss.
    """

    log_prob: Callable[[Tensor, Tensor, Tensor], Tensor]
    mean: Callable[[Tensor], Tensor]
    outputs: Callable[[Tensor], Tensor]
    scale: Literal["none", "learned", "optimal"]
    scale_metrics: Callable[[Tensor], dict[str, Tensor]]
    not_a_probability: str | None
    is_density: bool = True

    @property
    def objective(self) -> tuple[str, Literal["min", "max"]]:
        """The name of the metric that `bound` returns, and the direction in which it improves."""
        return ("elbo", "max") if self.is_density else ("variational_loss", "min")

    def bound(self, reconstruction: Tensor, kl: Tensor) -> dict[str, Tensor]:
        """{"elbo": reconstruction - kl}, or {"variational_loss": kl - reconstruction} if it is not a bound."""
        name, direction = self.objective
        return {name: reconstruction - kl if direction == "max" else kl - reconstruction}


#: Every likelihood by the name that `model.likelihood` takes.
LIKELIHOODS: dict[str, Likelihood] = {
    "bernoulli": Likelihood(
        lambda outputs, _, images: bernoulli(outputs, images),
        bernoulli_mean,
        _bernoulli_outputs,
        "none",
        lambda _: {},
        "model.likelihood=bernoulli treats grey levels as probabilities, so it is not a distribution over images",
        is_density=False,
    ),
    "gaussian": Likelihood(
        gaussian,
        _clamped,
        _clamped,
        "optimal",
        lambda log_sigma: {"sigma": log_sigma.exp()},
        "model.likelihood=gaussian is a density of real numbers, not a probability of 8-bit pixels",
    ),
    "discretized_logistic": Likelihood(
        lambda outputs, log_scale, images: discretized_logistic(outputs, bounded_log_scale(log_scale), images),
        _clamped,
        _clamped,
        "learned",
        lambda log_scale: {"scale": bounded_log_scale(log_scale).exp()},
        None,
    ),
}
