"""Distributions over the 256 levels of a value of a pixel, for models that draw one value after the other.

Parameters have the shape (N, size, ...), images in [-1, 1] and log-probabilities in nats the shape (N, ...). All
compute in float32.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from genimg.models.objectives.likelihoods import bounded_log_scale, logistic_log_mass

LEVELS = 256
COMPONENTS = 10  # of the mixture, as in Salimans et al. 2017


def to_levels(images: Tensor) -> Tensor:
    """The 8-bit levels, int64, of values in [-1, 1]."""
    return ((images + 1) * 127.5).round().long()


def from_levels(levels: Tensor) -> Tensor:
    """The values in [-1, 1], float32, of levels from 0 to 255."""
    return levels.float() / 127.5 - 1


def categorical(params: Tensor, images: Tensor) -> Tensor:
    """A softmax over the 256 levels (van den Oord et al. 2016, "Pixel recurrent neural networks", section 3.3)."""
    rows = params.movedim(1, -1).flatten(0, -2)  # (N * ..., 256), without a copy of channels_last parameters
    return -F.cross_entropy(rows.float(), to_levels(images).flatten(), reduction="none").view(images.shape)


def categorical_masses(params: Tensor) -> Tensor:
    """The log-probabilities of all levels, (N, 256)."""
    return F.log_softmax(params.float(), dim=1)


def logistic_mixture(params: Tensor, images: Tensor) -> Tensor:
    """A mixture of logistic distributions, discretised to the 256 levels (Salimans et al. 2017, eq. 2).

    params: the logits, means and log-scales of the K components, (N, 3 K, ...). Where they are 0, the means are evenly
        spaced from -1 to 1.
    """
    logits, means, log_scales = params.float().chunk(3, dim=1)
    spread = torch.linspace(-1, 1, means.shape[1], device=params.device).view(-1, *[1] * (params.dim() - 2))
    masses = logistic_log_mass(means + spread, bounded_log_scale(log_scales - 2), images.unsqueeze(1))
    return (F.log_softmax(logits, dim=1) + masses).logsumexp(1)


def logistic_mixture_masses(params: Tensor) -> Tensor:
    """The log-probabilities of all levels, (N, 256)."""
    values = from_levels(torch.arange(LEVELS, device=params.device)).expand(len(params), LEVELS)
    return logistic_mixture(params.unsqueeze(2), values)


@dataclass(frozen=True)
class PixelDistribution:
    """A distribution over levels.

    size: parameters of each value.
    log_prob: (parameters (N, size, ...), images (N, ...)) -> nats (N, ...).
    log_masses: parameters (N, size) -> the log-probabilities of all levels, (N, 256).
    """

    size: int
    log_prob: Callable[[Tensor, Tensor], Tensor]
    log_masses: Callable[[Tensor], Tensor]


#: Every distribution by the name that `model.distribution` takes.
PIXEL_DISTRIBUTIONS = {
    "categorical": PixelDistribution(LEVELS, categorical, categorical_masses),
    "logistic_mixture": PixelDistribution(3 * COMPONENTS, logistic_mixture, logistic_mixture_masses),
}
