"""Samples in chunks, images or sequences, whichever the model makes."""

from collections.abc import Iterator

from torch import Tensor

from genimg.common.errors import UserError
from genimg.sampling.actions import Actions
from genimg.sampling.sequences import stream_sequences
from genimg.sampling.source import Source
from genimg.sampling.stills import stream_images


def stream(
    source: Source,
    select: float | None,
    start: Tensor | None,
    num_frames: int | None,
    futures: int,
    actions: Actions | None = None,
) -> Iterator[Tensor]:
    """Yields the samples of a source; `Sampler.stream` describes it."""
    if source.trained.makes_sequences:
        if select is not None:
            source.trained.discriminating("select", select)
        return stream_sequences(source, start, num_frames, futures, actions)
    given = {"start": start, "num_frames": num_frames, "futures": None if futures == 1 else futures, "actions": actions}
    for key, value in given.items():
        if value is not None:
            got = "images" if isinstance(value, Tensor) else value
            raise UserError(key, got, "not set; this model produces still images", "use a model=rnn run")
    return stream_images(source, select)
