"""Animations that end with a given frame, or where they began.

Of all latents, those are sought whose last frame is most like the end (`descent`). What still differs is added
to the frames, in proportion to the square of the time, so that the last one is the end itself.
"""

import torch
from torch import Tensor

from genimg.common.noise import Noise
from genimg.models.sequence import SequenceModel
from genimg.sampling.descent import descend

STEPS = 100  # of the descent


def draw_loop(
    model: SequenceModel, start: Tensor, num_frames: int, noise: Noise, labels: Tensor | None, temperature: float
) -> Tensor:
    """Clips (N, T, C, H, W) of `num_frames` T, after whose last frame the first one follows."""
    return draw_to_end(model, start, start[:, 0], num_frames + 1, noise, labels, temperature)[:, :-1]


def draw_to_end(
    model: SequenceModel,
    start: Tensor,
    end: Tensor,
    num_frames: int,
    noise: Noise,
    labels: Tensor | None,
    temperature: float,
) -> Tensor:
    """Clips (N, T, C, H, W) of `num_frames` T, which lead from the given frames to an end.

    Args:
        start: the given frames (N, k, C, H, W).
        end: (N, C, H, W).
        noise: of the latents from which the descent begins.
    """
    count = num_frames - model.given_frames
    first = temperature * noise.normal(1 + count, model.latent_dim)

    def last(latents: Tensor) -> Tensor:
        return model.last_frame(model.begin(start, latents[:, 0], labels), latents[:, 1:])

    scales = torch.ones(len(first), 1, 1, device=first.device)
    with torch.enable_grad():
        latents, _ = descend(last, first, scales, end, STEPS)
    with torch.no_grad():
        frames, _ = model.advance(model.begin(start, latents[:, 0], labels), latents[:, 1:])
        rising = torch.linspace(0, 1, count + 1, device=frames.device)[1:].square()
        frames = frames + rising[:, None, None, None] * (end - frames[:, -1]).unsqueeze(1)
    return torch.cat([start, frames], dim=1)
