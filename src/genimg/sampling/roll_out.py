"""Animations that go on for as long as they are asked to, from a state that can be saved and branched."""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from genimg.checkpoints.archive import check_content, checked_archive
from genimg.common.errors import UserError, first_line
from genimg.common.files import atomic_write, report_write_errors
from genimg.common.noise import Noise
from genimg.common.seeds import LARGEST_SEED
from genimg.models.nest import filled, leaves
from genimg.models.sequence import CHUNK, SequenceModel
from genimg.sampling.actions import Actions, read_actions, sequence_length
from genimg.sampling.classes import Classes
from genimg.sampling.sequences import as_starts
from genimg.sampling.settings import check_at_least
from genimg.sampling.source import to_cpu
from genimg.sampling.trained import TrainedModel

_MOST_FRAMES = 2**40
_KEPT = ("model", "tensors", "seed", "frames", "temperature")  # in the file of a state


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
        if not isinstance(num_frames, int):
            raise UserError("num_frames", num_frames, "a whole number")
        model = cast(SequenceModel, self._trained.model)
        length = sequence_length(self._trained, model.given_frames + num_frames, actions)
        led = read_actions(self._trained, actions, len(self._noise), length)
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
        """Writes the state to a file, from which `Sampler.continue_from` goes on with the same model."""
        tensors = [leaf.cpu() for leaf in leaves(self._state)]
        digest = _digest(cast(SequenceModel, self._trained.model))
        values = (digest, tensors, self._noise.seed, self.frames, float(self.temperature))
        target = Path(path).expanduser()
        with report_write_errors("path", target), atomic_write(target, sync=False) as file:
            torch.save(dict(zip(_KEPT, values, strict=True)), file)


@torch.no_grad()
def begin(trained: TrainedModel, start: Tensor, classes: Classes | None, seed: int, temperature: float) -> RollOut:
    """The animations at their starts; `Sampler.roll_out` describes it."""
    model = _sequences(trained, "start", "images")
    check_at_least("seed", seed, 0)
    check_at_least("temperature", temperature, 0)
    start = as_starts(trained, start)
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
        content = torch.load(checked_archive(file), map_location="cpu", weights_only=True)
        check_content(content, file.stat().st_size)
        digest, tensors, seed, frames, temperature = (content[key] for key in _KEPT)
        if digest != _digest(model):
            raise ValueError("it is of another model")
        if not (_is_count(seed, LARGEST_SEED) and _is_count(frames, _MOST_FRAMES)):
            raise ValueError("its seed or its frames are out of range")
        if not (isinstance(temperature, float) and 0 <= temperature < math.inf):
            raise ValueError("its temperature is out of range")
        state = _like(trained, frames)
        count = len(tensors[0])
        if [(count, *leaf.shape[1:], leaf.dtype) for leaf in leaves(state)] != [(*x.shape, x.dtype) for x in tensors]:
            raise ValueError("its state has other shapes")
    except Exception as error:  # a damaged file may fail in any way
        raise UserError("path", path, expected, first_line(error)) from error
    noise = Noise.of_first(count, seed, trained.device)
    return RollOut(trained, filled(state, (one.to(trained.device) for one in tensors)), noise, frames, temperature)


def _like(trained: TrainedModel, frames: int) -> Any:
    """A state of one animation of the model, of the structure that it has after `frames` frames."""
    model, noise = cast(SequenceModel, trained.model), Noise.of_first(1, 0, trained.device)
    labels = torch.zeros(1, dtype=torch.int64, device=trained.device) if trained.classes else None
    start = torch.zeros(1, *trained.start_shape, device=trained.device)
    state = model.begin(start, noise.normal(model.latent_dim), labels)
    if frames:
        state = model.advance(state, noise.normal(1, model.latent_dim), model.random_actions(noise, 1))[1]
    return state


def _is_count(value: object, most: int) -> bool:
    return type(value) is int and 0 <= value <= most


def _digest(model: SequenceModel) -> str:
    """A hash of the weights that a roll-out uses."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        if name.startswith(model.export_prefixes):
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _sequences(trained: TrainedModel, key: str, got: str) -> SequenceModel:
    if not isinstance(trained.model, SequenceModel):
        expected = "a model of sequences; this model produces still images"
        raise UserError(key, got, expected, "use a model=rnn run")
    return trained.model
