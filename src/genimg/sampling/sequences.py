"""Sequences in chunks: the futures of starts."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import Tensor

from genimg.common.errors import UserError
from genimg.common.noise import Noise
from genimg.models.sequence import SequenceModel
from genimg.sampling.actions import Actions, read_actions, sequence_length
from genimg.sampling.endings import Drawn, draw_loop, draw_to_end
from genimg.sampling.settings import check_at_least
from genimg.sampling.source import CHUNK, Source, to_cpu
from genimg.sampling.trained import TrainedModel

_FEW_FRAMES = 16  # after the given ones, on which the memory of a sequence is estimated


@dataclass(frozen=True)
class ClipSettings:
    """What sequences start from, what leads where, and how many there are; `Sampler.stream` describes it."""

    start: Tensor | None = None
    end: Tensor | None = None
    loop: bool = False
    num_frames: int | None = None
    futures: int = 1
    actions: Actions | None = None

    @property
    def ends(self) -> bool:
        """Whether the last frame of a sequence is prescribed."""
        return self.loop or self.end is not None


def stream_sequences(source: Source, clips: ClipSettings) -> Iterator[Tensor]:
    """Yields sequences (N, T, C, H, W), the futures of at most `CHUNK` starts at a time."""
    trained, settings = source.trained, source.settings
    given = trained.model.given_frames
    length = sequence_length(trained, clips.num_frames, clips.actions)
    actions = read_actions(trained, clips.actions, source.count, length)
    check_at_least("futures", clips.futures, 1)
    check_at_least("num_frames", length, given + 1)
    count = CHUNK
    if clips.start is not None:
        if settings.seeds is not None:
            hint = "futures=4 draws several sequences from a start"
            raise UserError("seeds", settings.seeds, "not set with start", hint)
        start = as_starts(trained, clips.start, settings.num_images)
        trained.classes_of(settings.num_images, settings.classes)
        count = min(CHUNK, settings.num_images)
        clips = replace(clips, start=start)
    end = _check_end(trained, clips, source.count)
    frames = min(length, given + _FEW_FRAMES)
    source.check_memory(count, clips.futures * length, num_frames=frames)
    return _stream(source, replace(clips, end=end, actions=actions), length)


def as_starts(trained: TrainedModel, start: Tensor, count: int | None = None) -> Tensor:
    """The given frames (N, k, C, H, W), float32, of clips, or of images (N, C, H, W) if one frame is given.

    Raises:
        UserError: for another shape, another number than `count`, or values that are not floating-point numbers.
    """
    clips = start.unsqueeze(1) if start.ndim == 4 and trained.model.given_frames == 1 else start
    if clips.shape[1:] != trained.start_shape or len(clips) != (count or max(1, len(clips))):
        raise UserError("start", tuple(start.shape), f"clips of shape {(count or 'N', *trained.start_shape)}")
    return _as_float("start", clips)


def _as_float(key: str, images: Tensor) -> Tensor:
    if not images.is_floating_point():
        raise UserError(key, images.dtype, "floating-point values in [-1, 1]", "x / 127.5 - 1 converts 8 bits")
    return images.float()


def _check_end(trained: TrainedModel, clips: ClipSettings, count: int) -> Tensor | None:
    """The end of each sequence, if there is one."""
    if not clips.ends:
        return None
    key, got = ("loop", "true") if clips.loop else ("end", "images")
    if clips.end is not None and clips.loop:
        raise UserError("loop", "true", "false with end; a loop ends where it began")
    model = trained.model
    if not isinstance(model, SequenceModel) or not model.latent_dim:
        expected = f"not set; {type(model).__name__} draws nothing that could lead there"
        raise UserError(key, got, expected, "use a model=rnn run")
    if clips.end is None:
        return None
    if clips.end.shape[1:] != trained.image_shape or len(clips.end) not in (1, count):
        expected = f"one image for all of {count} starts, or one for each, of shape {trained.image_shape}"
        raise UserError("end", tuple(clips.end.shape), expected)
    return _as_float("end", clips.end)


@torch.no_grad()
def _stream(source: Source, clips: ClipSettings, length: int) -> Iterator[Tensor]:
    for begin in range(0, source.count, CHUNK):
        # chunks of given starts and ends are not complete; their sequences are equal up to rounding
        end = begin + CHUNK if clips.start is None and not clips.ends else min(begin + CHUNK, source.count)
        noise, labels = source.noise(begin, end), source.labels(begin, end)
        parts = {key: _part(source, getattr(clips, key), begin, end) for key in ("start", "end", "actions")}
        part = replace(clips, **parts)
        drawn = [_draw(source, noise.of_future(future), labels, part, length) for future in range(clips.futures)]
        kept = torch.stack(drawn, dim=1)[: source.count - begin]  # (count, futures, T, C, H, W)
        yield to_cpu(kept.flatten(0, 1))


def _part(source: Source, rows: Tensor | None, begin: int, end: int) -> Tensor | None:
    """The rows of sequences `begin` to `end` - 1. One row is of all; a chunk may have more sequences than rows."""
    return None if rows is None else rows[torch.arange(begin, end) % len(rows)].to(source.device)


def _draw(source: Source, noise: Noise, labels: Tensor | None, clips: ClipSettings, length: int) -> Tensor:
    """The sequences (N, T, C, H, W) of the noise and of the length T."""
    model, temperature, actions = cast(Any, source.trained.model), source.settings.temperature, clips.actions
    if not clips.ends:
        shared: dict[str, Any] = {"labels": labels, "start": clips.start, "num_frames": length}
        if actions is not None:
            shared["actions"] = actions
        return model.sample(noise, temperature=temperature, **shared)
    start = clips.start
    if start is None:
        start, labels = model.starts.draw(noise.of_start(), labels)
    if actions is None:
        actions = model.random_actions(noise, length - model.given_frames)
    drawn = Drawn(start, noise, labels, temperature, cast(Tensor | None, actions))
    return draw_loop(model, drawn, length) if clips.end is None else draw_to_end(model, drawn, clips.end, length)
