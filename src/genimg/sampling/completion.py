"""Completions of given images: their upper rows are kept, and a pixel model draws those below."""

from collections.abc import Iterator

import torch
from torch import Tensor

from genimg.common.errors import UserError
from genimg.models.base import DrawsPixels
from genimg.sampling.settings import check_at_least
from genimg.sampling.source import Source, to_cpu


def kept_rows(height: int, known: float) -> int:
    """The number of rows that are kept. Raises UserError unless `known` is a share."""
    if not 0 <= known <= 1:
        raise UserError("known", known, "a share of the rows from 0 to 1")
    return round(known * height)


def stream_completions(source: Source, images: Tensor, known: float, futures: int) -> Iterator[Tensor]:
    """Yields `futures` completions of each image, adjacent, of at most `Source.chunk` images at a time.

    Args:
        source: as many samples as images; each image i is completed with the noise of sample i.
        images: (N, C, H, W) in [-1, 1].
        known: share of the rows that are kept, from the top.
    """
    check_at_least("futures", futures, 1)
    model = source.trained.by_pixels("complete", "images")
    pixels = kept_rows(images.shape[2], known) * images.shape[3]
    source.trained.classes_of(len(images), source.settings.classes)
    return _stream(source, model, images, pixels, futures)


@torch.no_grad()
def _stream(source: Source, model: DrawsPixels, images: Tensor, pixels: int, futures: int) -> Iterator[Tensor]:
    guidance = 1.0 if source.settings.guidance is None else source.settings.guidance
    for begin in range(0, len(images), source.chunk):
        end = min(begin + source.chunk, len(images))
        noise, labels, given = source.noise(begin, end), source.labels(begin, end), images[begin:end].to(source.device)
        drawn = [
            model.draw(noise.of_future(future), labels, source.settings.temperature, guidance, given, pixels)
            for future in range(futures)
        ]
        yield to_cpu(torch.stack(drawn, dim=1).flatten(0, 1))
