"""What the RNN computes on the way to its figures: a path of the dynamics, the parts of the bound, errors of frames."""

from typing import Any, NamedTuple

from torch import Tensor

from genimg.common.errors import UserError


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


def frame_error(frames: Tensor, truth: Tensor) -> Tensor:
    """Squared error in [0, 1], summed over C, H, W and averaged over frames: (B,)."""
    return (0.5 * (frames - truth)).square().sum((2, 3, 4)).mean(1)


def check_clips(images: Tensor) -> Tensor:
    """Clips (B, T, C, H, W), T 2 or more; UserError for anything else."""
    if images.ndim != 5 or images.shape[1] < 2:
        raise UserError(
            "data",
            f"items of shape {tuple(images.shape[1:])}",
            "clips of two frames or more: model=rnn learns from sequences",
            "data=moving_digits, another data=moving_..., or data=frame_folder data.root=FOLDER",
        )
    return images
