"""Measurements with known values, or with their processor time recorded, norms of gradients, collapsed generators."""

import time
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor
from torch.optim import Optimizer

from genimg.common.noise import Noise
from genimg.models.gan import GAN
from genimg.models.rnn import RNN
from genimg.training.callbacks.base import Measured, Measurement
from genimg.training.callbacks.frechet_random import FrechetRandom
from genimg.training.callbacks.validation import Validation

TARGET = "callbacks.frechet_random._target_=tests.training.measured"


class Norms(Callback):
    """The norm of all gradients of an optimizer before each of its steps, as callbacks that limit them see it."""

    def __init__(self) -> None:
        self.found: list[float] = []

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        gradients = [weight.grad for group in optimizer.param_groups for weight in group["params"]]
        self.found.append(float(torch.stack([one.norm() for one in gradients if one is not None]).norm()))


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


class _Timed(Measurement):
    """Adds the processor time of each measurement to `seconds`, which a subclass defines."""

    passive: ClassVar[bool] = False
    seconds: ClassVar[list[float]]

    def measure(self, num_images: int) -> Measured:
        started = time.process_time()
        found = super().measure(num_images)
        self.seconds.append(time.process_time() - started)
        return found


class TimedValidation(_Timed, Validation):
    seconds: ClassVar[list[float]] = []


class Timed(_Timed, FrechetRandom):
    seconds: ClassVar[list[float]] = []


PALETTE = torch.tensor([[1.0, -0.6, -0.6], [-0.6, 0.8, -0.4], [-0.4, -0.4, 1.0], [0.9, 0.9, -0.7]])


def discs(z: Tensor, labels: Tensor) -> Tensor:
    """Colour images (N, 3, 16, 16): a disc whose place, size and brightness depend on z and its hue on the class."""
    rows, columns = torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="ij")
    middle, radius = 7.5 + 3 * z[:, :2].tanh(), 4 + z[:, 2].tanh()
    away = (rows - middle[:, 0, None, None]).square() + (columns - middle[:, 1, None, None]).square()
    inside = torch.sigmoid(2 * (radius[:, None, None] - away.sqrt()))[:, None]
    hue = (PALETTE[labels] + 0.3 * z[:, 3:4].tanh()).clamp(-1, 1)
    return inside * (hue[:, :, None, None] + 0.8) - 0.8


class Discs(GAN):
    """As good as the data that `discs` draws. The subclasses are collapsed."""

    def decode(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        assert labels is not None
        return discs(z, labels)

    def noise(self, z: Tensor) -> Tensor:
        """A tenth of the range of values as noise on every pixel, and brightness that varies."""
        generator = torch.Generator().manual_seed(0)
        pixels = torch.randn(z.shape[1], 3 * 16 * 16, generator=generator) / z.shape[1] ** 0.5
        return 0.2 * (z @ pixels).unflatten(1, (3, 16, 16)) + 0.2 * z[:, :1, None, None]


class OneNoisyDisc(Discs):
    """One image for all, with noise."""

    def decode(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        return discs(torch.zeros_like(z), torch.zeros(len(z), dtype=torch.int64)) + self.noise(z)


class OneNoisyDiscPerClass(Discs):
    """One image for each class, with noise."""

    def decode(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        assert labels is not None
        return discs(torch.zeros_like(z), labels) + self.noise(z)


class AnyDisc(Discs):
    """Images of any class, whatever is asked."""

    def decode(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        return discs(z, (z[:, 4] > 0) * 2 + (z[:, 5] > 0).long())


class StandsStill(RNN):
    """Futures that repeat the start image."""

    def sample(self, noise: Noise, **options: Any) -> Tensor:
        clips = super().sample(noise, **options)
        return clips[:, :1].repeat(1, clips.shape[1], 1, 1, 1)


class Blurs(StandsStill):
    """Futures that blur the start image: they move in squared error, and have less structure than a copy."""

    def sample(self, noise: Noise, **options: Any) -> Tensor:
        clips = super().sample(noise, **options)
        blurred = F.avg_pool2d(clips.flatten(0, 1), 7, 1, 3, count_include_pad=False).view_as(clips)
        return torch.cat([clips[:, :1], blurred[:, 1:]], dim=1)
