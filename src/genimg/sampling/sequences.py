"""Sequences in chunks: the futures of start images."""

from collections.abc import Iterator
from typing import Any, cast

import torch
from torch import Tensor

from genimg.common.errors import UserError
from genimg.sampling.actions import Actions, read_actions, sequence_length
from genimg.sampling.settings import check_at_least
from genimg.sampling.source import CHUNK, Source, to_cpu

_FEW_FRAMES = 16  # after the given ones, on which the memory of a sequence is estimated


def stream_sequences(
    source: Source, start: Tensor | None, num_frames: int | None, futures: int, actions: Actions | None = None
) -> Iterator[Tensor]:
    """Yields sequences (N, T, C, H, W), the futures of at most `CHUNK` start images at a time.

    `start`, `num_frames`, `futures` and `actions` as for `Sampler.stream`.
    """
    trained, settings = source.trained, source.settings
    length = sequence_length(trained, num_frames, actions)
    numbers = read_actions(trained, actions, source.count, length)
    check_at_least("futures", futures, 1)
    check_at_least("num_frames", length, trained.model.given_frames + 1)
    count = CHUNK
    if start is not None:
        if settings.seeds is not None:
            hint = "futures=4 draws several sequences from a start"
            raise UserError("seeds", settings.seeds, "not set with start", hint)
        shape = (settings.num_images, *trained.start_shape)
        if start.shape != shape:
            kind = "images" if trained.model.given_frames == 1 else "clips"
            raise UserError("start", tuple(start.shape), f"{kind} of shape {shape}")
        trained.classes_of(settings.num_images, settings.classes)
        count = min(CHUNK, settings.num_images)
    source.check_memory(count, futures * length, num_frames=min(length, trained.model.given_frames + _FEW_FRAMES))
    return _stream(source, start, length, futures, numbers)


@torch.no_grad()
def _stream(
    source: Source, start: Tensor | None, num_frames: int, futures: int, actions: Tensor | None
) -> Iterator[Tensor]:
    model = cast(Any, source.trained.model)
    for begin in range(0, source.count, CHUNK):
        # given start images make no complete chunk; their sequences are equal up to rounding
        end = begin + CHUNK if start is None else min(begin + CHUNK, source.count)
        noise = source.noise(begin, end)
        shared: dict[str, Any] = {
            "labels": source.labels(begin, end),
            "temperature": source.settings.temperature,
            "start": None if start is None else start[begin:end].to(source.device),
            "num_frames": num_frames,
        }
        if actions is not None:  # one row for all, or fewer rows than a chunk has
            shared["actions"] = actions[torch.arange(begin, end) % len(actions)].to(source.device)
        drawn = [model.sample(noise.of_future(future), **shared) for future in range(futures)]
        kept = torch.stack(drawn, dim=1)[: source.count - begin]  # (count, futures, T, C, H, W)
        yield to_cpu(kept.flatten(0, 1))
