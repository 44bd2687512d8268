"""Which samples are drawn: the noise of each position, and its seed."""

from dataclasses import dataclass

import torch

from genimg.common.errors import UserError
from genimg.common.noise import Noise
from genimg.common.seeds import read_seeds
from genimg.sampling.inputs import Seeds


@dataclass(frozen=True)
class Draws:
    """The samples of one seed, or the first samples of several seeds.

    Sample j of one seed has the noise (seed, j). With `seeds`, every seed is drawn in each of `turns` classes: sample j
    has the noise (seeds[j // turns], 0), which is that of the first sample of this seed alone.
    """

    count: int
    seed: int
    seeds: tuple[int, ...] | None = None
    turns: int = 1

    @classmethod
    def of(cls, count: int, seed: int, seeds: Seeds | None, turns: int) -> "Draws":
        """The first `count` samples of `seed`, or one sample per seed and class.

        Raises:
            UserError: if `seeds` is not a list of distinct seeds and ranges.
        """
        if seeds is None:
            return cls(count, seed)
        try:
            found = read_seeds(seeds)
        except ValueError as error:
            raise UserError("seeds", seeds, f"a list of {error}, such as [1,5,9-12]") from error
        return cls(len(found) * turns, seed, found, turns)

    def seed_of(self, position: int) -> int:
        """The seed of a sample."""
        return self.seed if self.seeds is None else self.seeds[position // self.turns]

    def noise(self, begin: int, end: int, device: torch.device) -> Noise:
        """The noise of the samples `begin` to `end` - 1. Positions beyond the last seed repeat its noise."""
        if self.seeds is None:
            return Noise(self.seed, torch.arange(begin, end), device)
        seeds = [self.seed_of(min(position, self.count - 1)) for position in range(begin, end)]
        return Noise(torch.tensor(seeds), torch.zeros(end - begin, dtype=torch.int64), device)
