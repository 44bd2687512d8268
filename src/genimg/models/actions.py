"""Actions that nobody has requested: drawn from the frequencies in the training data, which every checkpoint keeps."""

import torch
from torch import Tensor, nn

from genimg.common.noise import Noise


class DrawnActions(nn.Module):
    """How often each of A actions occurs.

    num_actions: A, 1 or more.
    """

    shares: Tensor

    def __init__(self, num_actions: int) -> None:
        super().__init__()
        self.register_buffer("shares", torch.full((num_actions,), 1 / num_actions))

    @torch.no_grad()
    def keep(self, shares: Tensor) -> None:
        """Replaces the frequencies by `shares`, float32 (A,)."""
        self.shares.copy_(shares)

    def draw(self, noise: Noise, count: int, skip: int = 0) -> Tensor:
        """Independent actions, int64 (N, count), a function of (seed, index, future): those after the first `skip`."""
        rising = self.shares.double().cpu().cumsum(0)
        drawn = torch.searchsorted(rising, noise.of_actions().uniform(count, skip=skip) * rising[-1])
        return drawn.clamp_max(len(rising) - 1).to(self.shares.device)
