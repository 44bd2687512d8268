"""Subclasses of FrechetRandom with known values, or with their processor time recorded."""

import time
from typing import ClassVar

from genimg.training.callbacks.base import Measured
from genimg.training.callbacks.frechet_random import FrechetRandom

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


class Timed(FrechetRandom):
    """Adds the processor time of each measurement to `seconds`."""

    passive: ClassVar[bool] = False
    seconds: ClassVar[list[float]] = []

    def measure(self, num_images: int) -> Measured:
        started = time.process_time()
        found = super().measure(num_images)
        self.seconds.append(time.process_time() - started)
        return found
