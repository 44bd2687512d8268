"""What the RNN computes on the way to its loss: a path of the dynamics, and the parts of the bound."""

from typing import Any, NamedTuple

from torch import Tensor


class Path(NamedTuple):
    """T - 1 steps of the dynamics."""

    step: Any  # the last one, to go on from
    hidden: Tensor  # hidden parts of the core, (B, T - 1, ...)
    shift: Tensor  # (B, T - 1, K, 2)
    foreseen: Tensor  # (B, T - 1, K, 2)
    sigma: Tensor  # (B, T - 1, K)


class Bound(NamedTuple):
    """The parts of the bound, in nats a clip, (B,) each, and what it was drawn from."""

    reconstruction: Tensor
    kl_clip: Tensor  # of w
    kl_frames: Tensor  # of all z_t
    tracking: Tensor  # no part of it; see `objectives.tracking`
    frames: Tensor  # frames 1 to T - 1 as predicted, (B, T - 1, C, H, W)

    def figures(self) -> dict[str, Tensor]:
        """In nats a predicted frame, (B,) each."""
        count = self.frames.shape[1]
        kl = self.kl_clip + self.kl_frames
        parts = {
            "elbo": self.reconstruction - kl,
            "reconstruction": self.reconstruction,
            "kl": kl,
            "kl_clip": self.kl_clip,
        }
        return {name: value / count for name, value in parts.items()}
