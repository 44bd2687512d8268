"""Intermediate results of the RNN: a path of the dynamics, the terms of the bound, and errors of frames."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from genimg.common.errors import UserError
from genimg.common.ssim import ssim
from genimg.models.objectives.likelihoods import Likelihood


class Path(NamedTuple):
    """A path of T - k steps of the dynamics, those of the predicted frames."""

    step: Any  # the last step, from which a longer path continues
    hidden: Tensor  # hidden states of the core, (B, T - k, ...)
    shift: Tensor  # (B, T - k, K, 2)
    predicted: Tensor  # (B, T - k, K, 2)
    sigma: Tensor  # (B, T - k, K)


class Scene(NamedTuple):
    """What a clip shows. The start is the last given frame."""

    context: Tensor  # features of the start, (B, F)
    context_map: Tensor  # its coarsest map, (B, c, h, w)
    layers: Any  # its layers
    observation: Any = None  # evidence of all frames, which the posteriors read; None of one frame


class State(NamedTuple):
    """The state of a roll-out."""

    layers: Any  # of the start
    step: Any  # the last step of the dynamics


class Bound(NamedTuple):
    """The terms of the bound in nats per clip, (B,) each, and the predicted frames."""

    reconstruction: Tensor
    kl_clip: Tensor  # of w
    kl_frames: Tensor  # of all z_t together
    tracking: Tensor  # not a term of the bound; see `objectives.tracking`
    frames: Tensor  # the predicted frames, (B, T - k, C, H, W)
    scene: Scene
    start: Any  # the step of the dynamics at the last given frame, with w from its posterior

    def metrics(self, likelihood: Likelihood) -> dict[str, Tensor]:
        """Metrics in nats per predicted frame, (B,) each. `likelihood` computed the reconstruction."""
        count = self.frames.shape[1]
        kl = self.kl_clip + self.kl_frames
        parts = {
            **likelihood.bound(self.reconstruction, kl),
            "reconstruction": self.reconstruction,
            "kl": kl,
            "kl_clip": self.kl_clip,
        }
        return {name: value / count for name, value in parts.items()}


def frame_error(frames: Tensor, truth: Tensor) -> Tensor:
    """Squared error of pixels in [0, 1], summed over C, H, W and averaged over frames: (B,)."""
    return (0.5 * (frames - truth)).square().sum((2, 3, 4)).mean(1)


def frame_ssim(frames: Tensor, truth: Tensor) -> Tensor:
    """SSIM of frames (B, T, C, H, W) in [-1, 1], averaged over frames: (B,)."""
    pairs = ((0.5 * (clips + 1)).flatten(0, 1) for clips in (frames, truth))
    return ssim(*pairs).view(truth.shape[:2]).mean(1)


def best_unrelated_error(truth: Tensor, guesses: int, alone: Tensor) -> Tensor:
    """The smallest `frame_error` of up to `guesses` other clips of a batch (B, T, C, H, W) to each clip: (B,).

    The other clips are evenly spaced in the batch, because neighbours can be from one video. `alone` is the value of a
    batch of one clip.
    """
    count = len(truth)
    shifts = {count * guess // (guesses + 1) for guess in range(1, guesses + 1)} - {0}
    return torch.stack([frame_error(truth.roll(shift, 0), truth) for shift in sorted(shifts)] or [alone]).amin(0)


def check_clips(images: Tensor, given_frames: int) -> Tensor:
    """Returns clips (B, T, C, H, W) with more than the given frames. Raises UserError for anything else."""
    if images.ndim != 5 or images.shape[1] <= given_frames:
        raise UserError(
            "data",
            f"items of shape {tuple(images.shape[1:])}",
            f"clips of at least {given_frames + 1} frames, because this model learns from sequences",
            "data=moving_digits, another data=moving_..., or data=frame_folder data.root=FOLDER",
        )
    return images
