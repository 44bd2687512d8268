"""Measurements with known values, or with their processor time recorded, and collapsed generators."""

import time
from typing import ClassVar

import torch
from torch import Tensor

from genimg.models.gan import GAN
from genimg.training.callbacks.base import Measured
from genimg.training.callbacks.frechet_random import FrechetRandom
from genimg.training.callbacks.validation import Validation

TARGET = "callbacks.frechet_random._target_=tests.training.measured"


class NotANumber(FrechetRandom):
    """The value is NaN."""

    passive: ClassVar[bool] = False

    def measure(self, num_images: int) -> Measured:
        return Measured({"frechet_random": float("nan")}, 16)


class FirstIsBest(FrechetRandom):
    """The first value is 1, and the others are 2."""

    passive: ClassVar[bool] = False
    value = 1.0

    def measure(self, num_images: int) -> Measured:
        value, self.value = self.value, 2.0
        return Measured({"frechet_random": value}, 4)


class TimedValidation(Validation):
    """Adds the processor time of each measurement to `seconds`."""

    passive: ClassVar[bool] = False
    seconds: ClassVar[list[float]] = []

    def measure(self, num_images: int) -> Measured:
        started = time.process_time()
        found = super().measure(num_images)
        self.seconds.append(time.process_time() - started)
        return found


class Timed(FrechetRandom):
    """Adds the processor time of each measurement to `seconds`."""

    passive: ClassVar[bool] = False
    seconds: ClassVar[list[float]] = []

    def measure(self, num_images: int) -> Measured:
        started = time.process_time()
        found = super().measure(num_images)
        self.seconds.append(time.process_time() - started)
        return found


class IgnoresClasses(GAN):
    """Images of 8 x 8 that depend on z alone."""

    def decode(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        return (z[:, :1, None, None] * torch.linspace(-1, 1, 8)).expand(-1, 1, 8, 8).tanh()


class IgnoresLatents(GAN):
    """Images of 8 x 8 that depend on the class alone."""

    def decode(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        assert labels is not None
        return (labels.view(-1, 1, 1, 1) / 5 - 1 + torch.linspace(-1, 1, 8)).expand(-1, 1, 8, 8).tanh()
