"""Decays of an exponential moving average: how much of it remains after some images."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np

from genimg.models.schedules import Schedule


class Decay(Protocol):
    """How an average forgets."""

    def over(self, images: int, images_seen: int, progress: float) -> float:
        """The weight of the average beside the current weights, from 0 to 1.

        Args:
            images: since the last update.
            images_seen: of the run, up to now.
            progress: of the run, from 0 to 1.
        """
        ...


class HalfLife(NamedTuple):
    """An old weight counts half after `half_life` images, or after `ramp` times the images seen if that is less.

    The half-life may follow a `Schedule` (R3GAN, Huang et al. 2024). Its limit lets the average of a short run forget
    the initial weights (Karras et al. 2020, StyleGAN2-ADA, `ema_kimg` and `ema_rampup`).
    """

    half_life: Schedule
    ramp: float

    @classmethod
    def of(cls, half_life: float | Sequence[float], ramp: float) -> "HalfLife":
        """From the settings `ema.half_life` and `ema.ramp`."""
        return cls(Schedule.of(half_life), ramp)

    def over(self, images: int, images_seen: int, progress: float) -> float:
        return 0.5 ** (images / max(1.0, min(self.half_life.at(progress), self.ramp * images_seen)))


@dataclass(frozen=True)
class PowerFunction:
    """The weights at t count in proportion to t^exponent, so an average has the same shape at any time of a run.

    Karras et al. 2024, "Analyzing and improving the training dynamics of diffusion models", eq. 1 and 2,
    https://arxiv.org/abs/2312.02696.

    Args:
        sigma_rel: standard deviation of the times that are averaged, as a share of the run, above 0 and below 0.288.
    """

    sigma_rel: float

    @cached_property
    def exponent(self) -> float:
        """The one of which (exponent + 1) / ((exponent + 2)^2 (exponent + 3)) is sigma_rel^2; it is unique."""
        precision = self.sigma_rel**-2
        return float(np.roots([1, 7, 16 - precision, 12 - precision]).real.max())

    def over(self, images: int, images_seen: int, progress: float) -> float:
        return (1 - images / images_seen) ** (self.exponent + 1)
