"""Animations that end with a given frame, or where they began.

Of all latents, those are sought whose last frame is most like the end (`descent`). What still differs is added
to the frames, in proportion to the square of the time, so that the last one is the end itself. The temperature is that
of the latents from which the descent begins.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from genimg.common.noise import Noise
from genimg.models.sequence import SequenceModel
from genimg.sampling.descent import descend

STEPS = 100  # of the descent


class Drawn(NamedTuple):
    """What clips are drawn from: the given frames (N, k, C, H, W), and the arguments of `SequenceModel.sample`."""

    start: Tensor
    noise: Noise
    labels: Tensor | None
    temperature: float
    actions: Tensor | None  # int64 (N, frames to predict)


def draw_loop(model: SequenceModel, drawn: Drawn, num_frames: int) -> Tensor:
    """Clips (N, T, C, H, W) of `num_frames` T, after whose last frame the first one follows.

    The last action leads there too.
    """
    if drawn.actions is not None:
        drawn = drawn._replace(actions=torch.cat([drawn.actions, drawn.actions[:, -1:]], dim=1))
    return draw_to_end(model, drawn, drawn.start[:, 0], num_frames + 1)[:, :-1]


def draw_to_end(model: SequenceModel, drawn: Drawn, end: Tensor, num_frames: int) -> Tensor:
    """Clips (N, T, C, H, W) of `num_frames` T, which lead from the given frames to an end (N, C, H, W)."""
    count = num_frames - model.given_frames
    first = drawn.temperature * drawn.noise.normal(1 + count, model.latent_dim)

    def last(latents: Tensor) -> Tensor:
        state = model.begin(drawn.start, latents[:, 0], drawn.labels)
        return model.last_frame(state, latents[:, 1:], drawn.actions)

    scales = torch.ones(len(first), 1, 1, device=first.device)
    with torch.enable_grad():
        latents, _ = descend(last, first, scales, end, STEPS)
    with torch.no_grad():
        pieces = model.roll_out(
            drawn.start, count, lambda times: latents[:, times.start : times.stop], drawn.labels, drawn.actions
        )
        start, *others = pieces
        frames = torch.cat(others, dim=1)
        rising = torch.linspace(0, 1, count + 1, device=frames.device)[1:].square()
        frames = frames + rising[:, None, None, None] * (end - frames[:, -1]).unsqueeze(1)
    return torch.cat([start, frames.clamp(-1, 1)], dim=1)
