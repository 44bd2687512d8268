"""The random numbers of samples, as a function of (seed, index, future) alone.

Sample i receives the same numbers whatever else is drawn, in batches of any size and on any device: number n of a
sample is a hash (`hashing.py`) of the seed, the sample and n.
"""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from genimg.common.hashing import Use, hash_words, to_uniform

_START = -1  # the stream from which a start image is chosen; the streams of futures are 0, 1, ...
_ACTIONS = -2  # the streams from which actions are chosen are -2, -3, ... for the futures 0, 1, ...


@dataclass(frozen=True)
class Noise:
    """An endless stream of random numbers for each of N samples.

    Attributes:
        seed: 0 or more; one for all samples, or int64 (N,) on the CPU, one for each.
        indices: int64 (N,) on the CPU; the numbers of the samples.
        device: the device of the numbers that are drawn. They are computed on the CPU, so that devices agree.
        future: 0 for still images; the number of a sequence among those with one start image.
    """

    seed: int | Tensor
    indices: Tensor
    device: torch.device | str = "cpu"
    future: int = 0

    @classmethod
    def of_first(cls, count: int, seed: int, device: torch.device | str = "cpu") -> "Noise":
        """The noise of samples 0 to `count` - 1."""
        return cls(seed, torch.arange(count), device)

    def __len__(self) -> int:
        """N, the number of samples."""
        return len(self.indices)

    def of_future(self, future: int) -> "Noise":
        """The noise of another sequence with the same start image."""
        return replace(self, future=future)

    def of_start(self) -> "Noise":
        """The noise that chooses the start image, which all futures share."""
        return replace(self, future=_START)

    def of_actions(self) -> "Noise":
        """The noise that chooses the actions of a sequence."""
        return replace(self, future=_ACTIONS - self.future)

    def normal(self, *shape: int, skip: int = 0) -> Tensor:
        """Standard normal float32 `(N, *shape)`: the numbers of each stream after the first `skip` ones."""
        quantiles = torch.erfinv(2 * self.uniform(*shape, skip=skip) - 1) * math.sqrt(2)
        return quantiles.float().to(self.device)

    def uniform(self, *shape: int, skip: int = 0) -> Tensor:
        """Uniform float64 `(N, *shape)` inside (0, 1), on the CPU: the numbers after the first `skip` ones."""
        streams = hash_words(Use.SAMPLE, self.seed, self.future, self.indices)
        numbers = torch.arange(skip, skip + math.prod(shape))
        return to_uniform(hash_words(streams[:, None], numbers)).view(len(self), *shape)
