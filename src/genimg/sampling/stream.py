"""Samples in chunks, images or sequences, whichever the model makes."""

from collections.abc import Iterator
from dataclasses import fields

from torch import Tensor

from genimg.common.errors import UserError
from genimg.sampling.sequences import ClipSettings, stream_sequences
from genimg.sampling.source import Source
from genimg.sampling.stills import stream_images


def stream(source: Source, select: float | None, clips: ClipSettings) -> Iterator[Tensor]:
    """Yields the samples of a source; `Sampler.stream` describes it."""
    if source.trained.makes_sequences:
        if select is not None:
            source.trained.discriminating("select", select)
        return stream_sequences(source, clips)
    for field in fields(clips):
        value = getattr(clips, field.name)
        if value is not None and (isinstance(value, Tensor) or value != field.default):
            got = "images" if isinstance(value, Tensor) else value
            raise UserError(field.name, got, "not set; this model produces still images", "use a model=rnn run")
    return stream_images(source, select)
