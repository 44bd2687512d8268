"""A trained model and its noise: what is drawn, and what the same seed means.

Images are drawn `CHUNK` at a time, each chunk with a generator seeded by (seed, number of the chunk), and a
chunk is always drawn whole. So image i of a seed is the same however many are asked for, and memory is
bounded by a chunk.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from genimg.common.errors import UserError
from genimg.models.base import Decodes, GenerativeModel, Reconstructs
from genimg.sampling.class_names import Classes, class_numbers
from genimg.sampling.latents import slerp, truncate

CHUNK = 16  # images drawn at once; a constant, for the noise of an image depends on it


class Sampler:
    """A model with what it needs to be sampled.

    Args:
        model: put in eval mode and moved to `device`.
        image_shape: (C, H, W) of its images.
        num_frames: frames of a sequence in training; None for a model of stills.
        classes: names of the labels 0, 1, ... of a conditional model; empty for an unconditional one.
    """

    def __init__(
        self,
        model: GenerativeModel,
        image_shape: Sequence[int],
        num_frames: int | None = None,
        classes: Sequence[str] = (),
        device: str | torch.device = "cpu",
    ) -> None:
        channels, height, width = image_shape
        self.image_shape = (int(channels), int(height), int(width))
        self.num_frames, self.classes = num_frames, tuple(classes)
        self.device = torch.device(device)
        self.model = model.to(self.device).eval()

    @property
    def makes_sequences(self) -> bool:
        return self.num_frames is not None

    def sample(self, num_images: int, **options: Any) -> Tensor:
        """`stream`, all at once: (N, C, H, W) in [-1, 1] on the CPU; sequences (N, T, C, H, W)."""
        return torch.cat(list(self.stream(num_images, **options)))

    def stream(
        self,
        num_images: int,
        *,
        seed: int = 0,
        classes: Classes | None = None,
        temperature: float = 1.0,
        truncation: float | None = None,
        start: Tensor | None = None,
        num_frames: int | None = None,
        futures: int = 1,
    ) -> Iterator[Tensor]:
        """The images of `sample` in pieces, in order, each at most a chunk (times `futures`).

        Args:
            seed: any whole number from 0 on.
            classes: names or numbers of a conditional model's classes, drawn in turn; None = all of them.
            temperature: scales the noise of the latents; under 1, more typical and less varied.
            truncation: latents come from the normal distribution cut off at this many standard deviations
                (Brock et al. 2019, BigGAN, section 3.1); stills only; None = not cut off.
            start: sequences only: the images (num_images, C, H, W) in [-1, 1] that they start from;
                None = the model's own. A conditional model must be told their classes: one for all, or one each.
            num_frames: sequences only: their length, the start counted.
            futures: sequences only: how many from each start, next to each other in the result.

        Raises:
            UserError: for what this model cannot do.
        """
        at_least("num_images", num_images, 1)
        at_least("seed", seed, 0)
        at_least("temperature", temperature, 0)
        self._check_truncation(truncation)
        labels = self.labels(classes, -(-num_images // CHUNK) * CHUNK)
        if not self.makes_sequences:
            self._only_for_sequences(start=start, num_frames=num_frames, futures=None if futures == 1 else futures)
            return self._stills(num_images, seed, labels, temperature, truncation)
        at_least("futures", futures, 1)
        at_least("num_frames", self.num_frames if num_frames is None else num_frames, 2)
        if start is not None and start.shape != (num_images, *self.image_shape):
            raise UserError("start", tuple(start.shape), f"images of shape {(num_images, *self.image_shape)}")
        if start is not None:
            self._require_classes(classes, num_images)
        return self._sequences(num_images, seed, labels, temperature, start, num_frames or self.num_frames, futures)

    @torch.no_grad()
    def _stills(
        self, num_images: int, seed: int, labels: Tensor | None, temperature: float, truncation: float | None
    ) -> Iterator[Tensor]:
        for begin in range(0, num_images, CHUNK):
            generator = self._generator(seed, begin // CHUNK)
            chosen = None if labels is None else labels[begin : begin + CHUNK]
            if truncation is None:
                images = self.model.sample(CHUNK, generator=generator, labels=chosen, temperature=temperature)
            else:
                model = self._decoder("truncation", truncation)
                z = truncate(model.sample_latents(CHUNK, generator=generator), truncation)
                images = model.decode(temperature * z, chosen)
            yield _finite(images[: num_images - begin])

    @torch.no_grad()
    def _sequences(
        self,
        num_images: int,
        seed: int,
        labels: Tensor | None,
        temperature: float,
        start: Tensor | None,
        num_frames: int | None,
        futures: int,
    ) -> Iterator[Tensor]:
        model = cast(Any, self.model)
        for begin in range(0, num_images, CHUNK):
            # a few given images need no whole chunk: they bound the number themselves
            count = CHUNK if start is None else min(CHUNK, num_images - begin)
            shared: dict[str, Any] = {
                "generator": self._generator(seed, begin // CHUNK),
                "labels": None if labels is None else labels[begin : begin + count],
                "temperature": temperature,
            }
            first = None if start is None else start[begin : begin + count].to(self.device)
            if first is None and futures > 1:
                first = model.sample(count, **shared, num_frames=2)[:, 0]
            drawn = [model.sample(count, **shared, start=first, num_frames=num_frames) for _ in range(futures)]
            kept = torch.stack(drawn, dim=1)[: num_images - begin]  # (count, futures, T, C, H, W)
            yield _finite(kept.flatten(0, 1))

    @torch.no_grad()
    def interpolate(
        self,
        num_images: int,
        steps: int,
        *,
        seed: int = 0,
        classes: Classes | None = None,
        temperature: float = 1.0,
        truncation: float | None = None,
    ) -> Tensor:
        """The way from each of the `num_images` latents to the next, and from the last back to the first.

        Spherical, because latents of a normal distribution lie near a sphere of radius sqrt(latent_dim): the
        straight line between two of them passes far inside it, where the model has seen nothing (White 2016,
        "Sampling generative networks").

        Returns:
            (num_images, steps + 1, C, H, W): row i from the latent of image i of `sample` (t = 0) to the
            next (t = 1). Images of one class follow each other; where the class changes, it does so
            half-way.
        """
        at_least("interpolate", steps, 1)
        at_least("num_images", num_images, 2, "with interpolate: it needs two images")
        self._check_truncation(truncation)
        model = self._decoder("interpolate", steps)
        chunks = range(-(-num_images // CHUNK))
        z = torch.cat([model.sample_latents(CHUNK, generator=self._generator(seed, chunk)) for chunk in chunks])
        z = temperature * (z if truncation is None else truncate(z, truncation))[:num_images]
        labels = self.labels(classes, num_images)
        if labels is not None:
            order = self.grouped(classes, num_images)
            z, labels = z[order], labels[order]
        rows = []
        t = torch.linspace(0, 1, steps + 1, device=self.device)
        for here in range(num_images):
            there = (here + 1) % num_images
            path = slerp(z[here], z[there], t)
            both = None if labels is None else torch.where(t < 0.5, labels[here], labels[there])
            parts = [slice(begin, begin + CHUNK) for begin in range(0, steps + 1, CHUNK)]
            row = [model.decode(path[part], None if both is None else both[part]) for part in parts]
            rows.append(_finite(torch.cat(row)))
        return torch.stack(rows)

    @torch.no_grad()
    def reconstruct(self, images: Tensor, classes: Classes | None = None) -> Tensor:
        """Images (N, C, H, W) in [-1, 1], encoded and decoded again.

        A conditional model must be told their classes: one for all, or one each.
        """
        if self.makes_sequences or not isinstance(self.model, Reconstructs):
            raise UserError("reconstruct", type(self.model).__name__, "a model that encodes images: model=vae")
        self._require_classes(classes, len(images))
        labels = self.labels(classes, len(images))
        parts = [slice(begin, begin + CHUNK) for begin in range(0, len(images), CHUNK)]
        done = [
            self.model.reconstruct(images[part].to(self.device), None if labels is None else labels[part])
            for part in parts
        ]
        return _finite(torch.cat(done))

    def _require_classes(self, classes: Classes | None, count: int) -> None:
        """Given images have classes of their own, which a conditional model cannot guess."""
        if not self.classes:
            return
        told = len(class_numbers(classes, self.classes)) if classes is not None else None
        if told not in (1, count):
            expected = f"the class of the images: one for all {count}, or one each"
            raise UserError("classes", classes, expected, hint="this model is conditional")

    def labels(self, classes: Classes | None, count: int) -> Tensor | None:
        """int64 (count,) on the device: the wanted classes in turn, so that each comes equally often."""
        if not self.classes:
            if classes is not None:
                raise UserError(
                    "classes",
                    classes,
                    "null: this model knows no classes",
                    hint="train with model.conditional=true",
                )
            return None
        wanted = torch.tensor(class_numbers(classes, self.classes), device=self.device)
        return wanted[torch.arange(count, device=self.device) % len(wanted)]

    def grouped(self, classes: Classes | None, count: int) -> list[int]:
        """The numbers of the first `count` images, those of one class next to each other."""
        if not self.classes:
            return list(range(count))
        turns = len(class_numbers(classes, self.classes))
        return sorted(range(count), key=lambda index: index % turns)

    def _generator(self, seed: int, chunk: int) -> torch.Generator:
        word = np.random.SeedSequence((seed, chunk)).generate_state(1, np.uint64)[0]
        return torch.Generator(self.device).manual_seed(int(word))

    @property
    def interpolates(self) -> bool:
        """Whether there are images between two images: the model makes stills from latents."""
        return isinstance(self.model, Decodes) and not self.makes_sequences

    def _decoder(self, key: str, got: object) -> Decodes:
        if self.makes_sequences or not isinstance(self.model, Decodes):
            raise UserError(key, got, f"null: {type(self.model).__name__} has no latent for an image")
        return self.model

    def _check_truncation(self, truncation: float | None) -> None:
        if truncation is not None:
            self._decoder("truncation", truncation)
            if not truncation > 0:
                raise UserError("truncation", truncation, "standard deviations: more than 0, or null for none")

    def _only_for_sequences(self, **given: object) -> None:
        for key, value in given.items():
            if value is not None:
                shown = "images" if isinstance(value, Tensor) else value
                raise UserError(key, shown, "left out: this model makes stills", hint="sequences come from model=rnn")


def _finite(images: Tensor) -> Tensor:
    """`images` as float32 on the CPU. UserError for numbers that are no colours, as broken weights make them."""
    images = images.float().cpu()
    if not images.isfinite().all():
        raise UserError("run", "images that are not finite", "weights that make images", "train it anew")
    return images


def at_least(key: str, got: float | None, least: int, why: str = "") -> None:
    """Raises UserError unless `got` is `least` or more (NaN is not)."""
    if got is None or not got >= least:
        raise UserError(key, got, f"{least} or more {why}".rstrip())
