"""Small untrained models with the interface of `GenerativeModel`."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from genimg.common.noise import Noise
from genimg.models.base import Batch, GenerativeModel


class StubModel(GenerativeModel):
    """Images of `shape` from z (N, 8) through one linear layer; class i paints row i white."""

    def __init__(self, shape: tuple[int, int, int] = (1, 8, 8)) -> None:
        super().__init__()
        self.shape = shape
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.layer = nn.Linear(8, shape[0] * shape[1] * shape[2])
        self.calls = 0

    def networks(self) -> dict[str, nn.Module]:
        return {"layer": self.layer}

    def evaluate(self, batch: Batch, noise: Noise) -> dict[str, Tensor]:
        return {}


class StubGenerator(StubModel):
    latent_dim = 8

    def decode(self, z: Tensor, labels: Tensor | None) -> Tensor:
        images = torch.tanh(self.layer(z)).view(-1, *self.shape)
        if labels is not None:
            images[torch.arange(len(z)), :, labels] = 1.0
        return images

    def sample(self, noise: Noise, *, labels: Tensor | None = None, temperature: float = 1.0) -> Tensor:
        self.calls += 1
        return self.decode(temperature * noise.normal(self.latent_dim), labels)


class StubAutoencoder(StubGenerator):
    """Reconstructs an image as its negative, so that the two sides of a sheet differ."""

    def reconstruct(self, images: Tensor, labels: Tensor | None) -> Tensor:
        return -images


class StubSequences(StubModel):
    """The start, then noise added frame by frame."""

    def sample(
        self,
        noise: Noise,
        *,
        labels: Tensor | None = None,
        temperature: float = 1.0,
        start: Tensor | None = None,
        num_frames: int | None = None,
    ) -> Tensor:
        self.calls += 1
        if start is None:
            start = torch.tanh(self.layer(noise.of_start().normal(8)))
        frames = [start.view(len(noise), *self.shape)]
        for step in noise.normal((num_frames or 5) - 1, *self.shape).unbind(1):
            frames.append((frames[-1] + 0.3 * temperature * step).clamp(-1, 1))
        return torch.stack(frames, dim=1)
