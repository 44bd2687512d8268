"""Animations that go on for as long as they are asked to, from a state that can be saved and branched."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from genimg.checkpoints.archive import check_content, checked_archive
from genimg.common.errors import UserError, first_line
from genimg.common.files import atomic_write
from genimg.common.noise import Noise
from genimg.models.nest import filled, leaves
from genimg.models.sequence import CHUNK, SequenceModel
from genimg.sampling.actions import Actions, read_actions
from genimg.sampling.classes import Classes
from genimg.sampling.settings import check_at_least
from genimg.sampling.source import to_cpu
from genimg.sampling.trained import TrainedModel

_KEPT = ("tensors", "seed", "frames", "temperature")  # in the file of a state


class RollOut:
    """N animations at some frame. `advance` draws the frames after it; a state has the same size at any frame.

    Example:
        >>> import genimg, torch
        >>> sampler = genimg.load("last")  # a run of model=rnn
        >>> walk = sampler.roll_out(torch.zeros(1, *sampler.start_shape))
        >>> walk.advance(8).shape == (1, 8, *sampler.image_shape)
        True
        >>> other = walk.branch(seed=1)  # the same past, another future
        >>> walk.save("walk.pt")
        >>> again = sampler.continue_from("walk.pt")
        >>> torch.equal(again.advance(4), walk.advance(4))
        True

    Attributes:
        frames: predicted frames up to here.
    """

    def __init__(self, trained: TrainedModel, state: Any, noise: Noise, frames: int, temperature: float) -> None:
        self._trained, self._state, self._noise = trained, state, noise
        self.frames, self.temperature = frames, temperature

    @torch.no_grad()
    def advance(self, num_frames: int, actions: Actions | None = None) -> Tensor:
        """The next frames (N, num_frames, C, H, W) with values in [-1, 1], float32 on the CPU.

        They are those of `sample` with the same start, seed, classes and actions, up to rounding.

        Args:
            num_frames: 1 or more.
            actions: those that lead to the frames, as for `Sampler.stream`.
        """
        check_at_least("num_frames", num_frames, 1)
        model = cast(SequenceModel, self._trained.model)
        led = read_actions(self._trained, actions, len(self._noise), model.given_frames + num_frames)
        if led is None:
            led = model.random_actions(self._noise, num_frames, skip=self.frames)
        led = None if led is None else led.expand(len(self._noise), -1).to(self._trained.device)
        size, parts = model.latent_dim, []
        for first in range(0, num_frames, CHUNK):
            count = min(CHUNK, num_frames - first)
            noise = self.temperature * self._noise.normal(count, size, skip=(1 + self.frames) * size)
            part = None if led is None else led[:, first : first + count]
            frames, self._state = model.advance(self._state, noise, part)
            self.frames += count
            parts.append(to_cpu(frames))
        return torch.cat(parts, dim=1)

    def branch(self, seed: int) -> RollOut:
        """The same animations from here on with other random numbers. This one does not change."""
        check_at_least("seed", seed, 0)
        return RollOut(self._trained, self._state, replace(self._noise, seed=seed), self.frames, self.temperature)

    def save(self, path: str | Path) -> None:
        """Writes the state to a file, from which `Sampler.continue_from` goes on."""
        tensors = [leaf.cpu() for leaf in leaves(self._state)]
        values = (tensors, self._noise.seed, self.frames, self.temperature)
        with atomic_write(Path(path), sync=False) as file:
            torch.save(dict(zip(_KEPT, values, strict=True)), file)


@torch.no_grad()
def begin(trained: TrainedModel, start: Tensor, classes: Classes | None, seed: int, temperature: float) -> RollOut:
    """The animations at their starts; `Sampler.roll_out` describes it."""
    model = _sequences(trained, "start", "images")
    check_at_least("seed", seed, 0)
    check_at_least("temperature", temperature, 0)
    if start.ndim == 4 and model.given_frames == 1:
        start = start.unsqueeze(1)  # images
    if start.shape[1:] != trained.start_shape:
        raise UserError("start", tuple(start.shape), f"clips of shape {('N', *trained.start_shape)}")
    labels = trained.classes_of(len(start), classes).labels(0, len(start), trained.device)
    noise = Noise.of_first(len(start), seed, trained.device)
    state = model.begin(start.to(trained.device), temperature * noise.normal(model.latent_dim), labels)
    return RollOut(trained, state, noise, 0, temperature)


@torch.no_grad()
def read(trained: TrainedModel, path: str | Path) -> RollOut:
    """The animations of a file that `RollOut.save` has written. No code in it can run.

    Raises:
        UserError: if it is no such file, or its state is not one of the model.
    """
    model, file = _sequences(trained, "path", str(path)), Path(path).expanduser()
    expected = "a file that RollOut.save has written, of this model"
    try:
        content = torch.load(checked_archive(file), map_location=trained.device, weights_only=True)
        check_content(content, file.stat().st_size)
        tensors, seed, frames, temperature = (content[key] for key in _KEPT)
        noise = Noise.of_first(len(tensors[0]), seed, trained.device)
        # the structure of a state is that of any other
        labels = torch.zeros(len(noise), dtype=torch.int64, device=trained.device) if trained.classes else None
        start = torch.zeros(len(noise), *trained.start_shape, device=trained.device)
        like = model.begin(start, noise.normal(model.latent_dim), labels)
        shapes = [(leaf.shape, leaf.dtype) for leaf in leaves(like)]
        if shapes != [(leaf.shape, leaf.dtype) for leaf in tensors]:
            raise ValueError("its state has other shapes")
    except Exception as error:  # a damaged file may fail in any way
        raise UserError("path", path, expected, first_line(error)) from error
    return RollOut(trained, filled(like, tensors), noise, int(frames), float(temperature))


def _sequences(trained: TrainedModel, key: str, got: str) -> SequenceModel:
    if not isinstance(trained.model, SequenceModel):
        expected = "a model of sequences; this model produces still images"
        raise UserError(key, got, expected, "use a model=rnn run")
    return trained.model
