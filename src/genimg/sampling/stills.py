"""Images in chunks, all of them or those that the discriminator selects."""

from collections.abc import Iterator

import torch
from torch import Tensor

from genimg.common.errors import UserError
from genimg.models.base import Discriminates
from genimg.sampling.selection import Selection
from genimg.sampling.source import Source, to_cpu


def stream_images(source: Source, select: float | None) -> Iterator[Tensor]:
    """Yields the images (N, C, H, W) of a source, at most `Source.chunk` at a time. `select` as for `Sampler.stream`.

    A chunk is always drawn completely, because rounding may depend on the size of a batch.
    """
    discriminating = None
    if select is not None:
        discriminating = source.trained.discriminating("select", select)
        if not 0.01 <= select <= 1:
            raise UserError("select", select, "a share from 0.01 to 1, or null")
    source.check_memory(with_logits=select is not None)
    return _stream(source, discriminating, select)


@torch.no_grad()
def _stream(source: Source, discriminating: Discriminates | None, select: float | None) -> Iterator[Tensor]:
    selected = source.draw
    if discriminating is not None and select is not None:
        selected = Selection(source.draw, discriminating.logits, select, source.device)
    for begin in range(0, source.count, source.chunk):
        end = begin + source.chunk
        images = selected(source.noise(begin, end), source.labels(begin, end))
        yield to_cpu(images[: source.count - begin])
