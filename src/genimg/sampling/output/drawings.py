"""The process of drawing: the images of a sheet after each step."""

from collections.abc import Sequence

import torch
from torch import Tensor

from genimg.models.base import DecodesInSteps
from genimg.sampling.images.sheets import to_uint8
from genimg.sampling.source import CHUNK, Source

HIDDEN = 128  # grey level of pixels that are not drawn yet


def drawings(source: Source, images: Tensor, order: Sequence[int]) -> Tensor:
    """Samples while they are drawn, uint8 (N, S + 1, C, H, W).

    Args:
        source: of a model that decodes in steps, or draws pixel by pixel.
        images: its samples of the indices `order`, uint8 (N, C, H, W).
    """
    model = source.trained.model
    return _by_steps(source, model, order) if isinstance(model, DecodesInSteps) else by_rows(images)


@torch.no_grad()
def _by_steps(source: Source, model: DecodesInSteps, order: Sequence[int]) -> Tensor:
    parts = []
    for begin in range(0, max(order) + 1, CHUNK):  # complete chunks, as the samples were drawn
        z = source.latents(source.noise(begin, begin + CHUNK))
        parts.append(to_uint8(model.decode_steps(z, source.labels(begin, begin + CHUNK))))
    return torch.cat(parts)[list(order)]


def by_rows(images: Tensor) -> Tensor:
    """Images (N, C, H, W), uint8, while they are drawn row by row: (N, H + 1, C, H, W)."""
    height = images.shape[2]
    drawn = torch.arange(height) < torch.arange(height + 1)[:, None]  # (H + 1, H)
    return torch.where(drawn[None, :, None, :, None], images[:, None], HIDDEN)
