"""Seeded sampling from a trained model.

The noise of an image is a function of (seed, index), that of a sequence of (seed, index, future). Images are drawn in
chunks of `CHUNK`, so memory is bounded by one chunk. A chunk is always drawn completely, because rounding may depend on
the size of a batch; image i of a seed is then the same, bit for bit, for any number of images.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, TypedDict, Unpack, cast

import torch
from torch import Tensor

from genimg.common.errors import UserError
from genimg.common.noise import Noise
from genimg.models.base import Decodes, Discriminates, GenerativeModel, HasStyles, Reconstructs
from genimg.sampling.classes import ClassChoice, Classes
from genimg.sampling.directions import STRENGTHS, Directions
from genimg.sampling.draws import Draws
from genimg.sampling.inputs import Seeds
from genimg.sampling.latents import slerp, truncate
from genimg.sampling.memory import check_chunk
from genimg.sampling.selection import Selection
from genimg.sampling.styles import MeanStyles, truncate_styles

CHUNK = 16  # images drawn at once
_COPIES = 3  # of the result: parts, the whole, and its conversion to 8 bits
StyleEdit = Callable[[Tensor], Tensor]  # w (N, W) -> w (N, W)
Strengths = Mapping[str | int, float]  # of directions, by name

_FEW_FRAMES = 17  # on which the memory of a sequence is estimated: the start, and a piece of 16


class StreamOptions(TypedDict, total=False):
    """The keyword arguments of `Sampler.stream`, which describes them."""

    seed: int
    seeds: Seeds | None
    classes: Classes | None
    temperature: float
    truncation: float | None
    truncation_psi: float | None
    directions: Strengths | None
    select: float | None
    start: Tensor | None
    num_frames: int | None
    futures: int


class Sampler:
    """A trained model, ready to be sampled.

    All images that it takes and returns have values in [-1, 1]. Results are float32 on the CPU: images (N, C, H, W)
    from an image model, sequences (N, T, C, H, W) from a sequence model. The global random state is not used.

    Args:
        model: moved to `device` and put into eval mode.
        image_shape: (C, H, W) of one image.
        num_frames: frames of a training sequence; None for an image model.
        classes: names of the labels 0, 1, ... of a conditional model; empty for an unconditional model.
        device: device of the model.

    Example:
        >>> import genimg
        >>> sampler = genimg.load("last")  # the newest run in outputs/
        >>> images = sampler.sample(16, seed=3, truncation=0.7)
        >>> images.shape == (16, *sampler.image_shape)
        True
        >>> sampler.interpolate(4, steps=8).shape[:2]
        torch.Size([4, 9])
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
        self._frames_that_fit = 0  # the most for which the memory of a chunk has been checked

    @property
    def makes_sequences(self) -> bool:
        """Whether a sample is a sequence (T, C, H, W) rather than an image (C, H, W)."""
        return self.num_frames is not None

    @property
    def can_interpolate(self) -> bool:
        """Whether the model decodes images from latents, as `interpolate` and `truncation` require."""
        return isinstance(self.model, Decodes) and not self.makes_sequences

    def sample(self, num_images: int = 10, **options: Unpack[StreamOptions]) -> Tensor:
        """Returns all images of `stream`, with the same options: (N, C, H, W), or sequences (N, T, C, H, W)."""
        return torch.cat(list(self.stream(num_images, **options)))

    def stream(
        self,
        num_images: int = 10,
        *,
        seed: int = 0,
        seeds: Seeds | None = None,
        classes: Classes | None = None,
        temperature: float = 1.0,
        truncation: float | None = None,
        truncation_psi: float | None = None,
        directions: Strengths | None = None,
        select: float | None = None,
        start: Tensor | None = None,
        num_frames: int | None = None,
        futures: int = 1,
    ) -> Iterator[Tensor]:
        """Yields the images in order, at most `CHUNK` (times `futures`) at a time.

        Args:
            num_images: number of images, or of start images of a sequence model; 1 or more.
            seed: 0 or more. The same seed gives the same images. Image i does not depend on `num_images`, nor sequence
                (i, future) on the number of start images and of futures.
            seeds: seeds and ranges, for example `[1, 5, "9-12"]`. Each seed is drawn once in each of the classes: the
                images of the first seed come first. The image of seed k in class c is the first image of `seed=k` and
                `classes=[c]`, up to rounding. `num_images` and `seed` are then ignored. None = one seed.
            classes: names or numbers of a conditional model's classes, drawn in turn; None = all classes. A mapping of
                classes to weights is a mixture, whose embedding is the weighted mean of theirs: `{"cat": 3, "dog": 1}`.
            temperature: scale of the latent noise, 0 or more; below 1, samples are more typical and less varied.
            truncation: truncates the latents at this many standard deviations (Brock et al. 2019, BigGAN, section
                3.1). Image models with latents only. None = no truncation.
            truncation_psi: fraction of a style's distance from the mean style of its class that is kept (Karras et al.
                2019, StyleGAN, appendix B): 1 = all, 0 = the mean alone; above 1 is an exaggeration. The mean is that
                of 4,096 fixed latents. Models with a mapping network only. None = no truncation.
            directions: strengths of directions in the space of styles (see `Directions`), added after truncation:
                `{"pca0": 1.5, "sefa2": -1, "cat": 0.5}`. Models with a mapping network only.
            select: share of the images that is kept, from 0.01 to 1: an image whose logit is not among the highest of
                its class is drawn again (see `Selection`). Models with a discriminator only. None = all images.
            start: start images (num_images, C, H, W) of the sequences; None = the model's own. Sequence models only.
                A conditional model requires `classes`: one for all start images, or one for each.
            num_frames: length of the sequences including the start image, 2 or more; None = as in training. Sequence
                models only.
            futures: number of sequences for each start image, adjacent in the result. Sequence models only.

        Raises:
            UserError: if an option is out of range, the model does not support it, or a chunk needs more than the free
                memory, before anything is drawn.
        """
        _check_at_least("num_images", num_images, 1)
        _check_at_least("seed", seed, 0)
        _check_at_least("temperature", temperature, 0)
        self._check_truncation(truncation, truncation_psi)
        shift = self._shift(directions)
        self._check_select(select)
        draws = self.draws(num_images, seed, seeds, classes)
        choice = self._class_choice(classes)
        if not self.makes_sequences:
            given = {"start": start, "num_frames": num_frames, "futures": None if futures == 1 else futures}
            for key, value in given.items():
                if value is not None:
                    got = "images" if isinstance(value, Tensor) else value
                    raise UserError(key, got, "not set; this model produces still images", "use a model=rnn run")
            self._check_memory(CHUNK, 1, choice, {}, with_logits=select is not None)
            return self._images(draws, choice, temperature, truncation, truncation_psi, shift, select)
        _check_at_least("futures", futures, 1)
        _check_at_least("num_frames", self.num_frames if num_frames is None else num_frames, 2)
        if start is not None and seeds is not None:
            raise UserError("seeds", seeds, "not set with start", "futures=4 draws several sequences from a start")
        if start is not None and start.shape != (num_images, *self.image_shape):
            raise UserError("start", tuple(start.shape), f"images of shape {(num_images, *self.image_shape)}")
        if start is not None:
            self._require_classes(classes, num_images)
        length = num_frames or cast(int, self.num_frames)
        count = CHUNK if start is None else min(CHUNK, num_images)
        self._check_memory(count, futures * length, choice, {"num_frames": min(length, _FEW_FRAMES)})
        return self._sequences(draws, choice, temperature, start, length, futures)

    def _check_memory(
        self, count: int, frames: int, choice: ClassChoice | None, options: dict[str, Any], with_logits: bool = False
    ) -> None:
        """Raises UserError if a chunk of `count` samples with `frames` frames each exceeds the memory of the CPU.

        with_logits: whether the discriminator sees the chunk.
        """
        if self.device.type != "cpu" or (count * frames <= self._frames_that_fit and not with_logits):
            return

        def draw(model: Any) -> Tensor:
            start = {"start": torch.empty(count, *self.image_shape)} if self.makes_sequences else {}
            labels = self._labels(choice, 0, count)
            samples = model.sample(Noise.of_first(count, seed=0), labels=labels, **start, **options)
            if with_logits:
                model.logits(samples, labels)
            return samples

        copies = _COPIES * -(-frames // options.get("num_frames", 1))
        hint = "a smaller num_frames or futures" if self.makes_sequences else "use a machine with more memory"
        check_chunk(self.model, draw, copies, hint)
        self._frames_that_fit = count * frames

    @torch.no_grad()
    def _images(
        self,
        draws: Draws,
        choice: ClassChoice | None,
        temperature: float,
        truncation: float | None,
        truncation_psi: float | None,
        shift: Tensor | None,
        select: float | None,
    ) -> Iterator[Tensor]:
        def draw(noise: Noise, labels: Tensor | None) -> Tensor:
            if truncation is None and truncation_psi is None and shift is None:
                return self.model.sample(noise, labels=labels, temperature=temperature)
            z = self._latents(noise, temperature, truncation)
            return self._decode(z, labels, self._style_edit(labels, truncation_psi, shift))

        if select is not None:
            selected = Selection(draw, cast(Discriminates, self.model).logits, select, self.device)
        else:
            selected = draw
        for begin in range(0, draws.count, CHUNK):
            noise = draws.noise(begin, begin + CHUNK, self.device)
            images = selected(noise, self._labels(choice, begin, begin + CHUNK))
            yield _to_cpu(images[: draws.count - begin])

    @torch.no_grad()
    def _sequences(
        self,
        draws: Draws,
        choice: ClassChoice | None,
        temperature: float,
        start: Tensor | None,
        num_frames: int | None,
        futures: int,
    ) -> Iterator[Tensor]:
        model = cast(Any, self.model)
        for begin in range(0, draws.count, CHUNK):
            # given start images make no complete chunk; their sequences are equal up to rounding
            end = begin + CHUNK if start is None else min(begin + CHUNK, draws.count)
            noise = draws.noise(begin, end, self.device)
            shared: dict[str, Any] = {
                "labels": self._labels(choice, begin, end),
                "temperature": temperature,
                "start": None if start is None else start[begin:end].to(self.device),
                "num_frames": num_frames,
            }
            drawn = [model.sample(noise.of_future(future), **shared) for future in range(futures)]
            kept = torch.stack(drawn, dim=1)[: draws.count - begin]  # (count, futures, T, C, H, W)
            yield _to_cpu(kept.flatten(0, 1))

    @torch.no_grad()
    def interpolate(
        self,
        num_images: int | None,
        steps: int,
        *,
        seed: int = 0,
        seeds: Seeds | None = None,
        classes: Classes | None = None,
        temperature: float = 1.0,
        truncation: float | None = None,
        truncation_psi: float | None = None,
        directions: Strengths | None = None,
    ) -> Tensor:
        """Interpolates from each latent to the next, and from the last to the first.

        The interpolation is spherical: latents of a normal distribution lie near a sphere of radius sqrt(latent_dim),
        and a straight line between two of them passes far inside it, where the model was not trained (White 2016,
        "Sampling generative networks").

        Args:
            num_images: number of latents N, 2 or more; ignored with `seeds`.
            steps: steps from one latent to the next, 1 or more.
            seed, seeds, classes, temperature, truncation, truncation_psi, directions: as for `stream`.

        Returns:
            (N, steps + 1, C, H, W). Row i leads from image i of `sample` to the next. Images of one class
            are adjacent; between two classes, the class changes half-way. With mixtures the weights change gradually.

        Raises:
            UserError: if an option is out of range, or the model has no latents.
        """
        _check_at_least("interpolate", steps, 1)
        draws = self.draws(num_images or 0, seed, seeds, classes)
        num_images = draws.count
        _check_at_least("num_images" if seeds is None else "seeds", num_images, 2, "images with interpolate")
        self._check_truncation(truncation, truncation_psi)
        shift = self._shift(directions)
        self._decoder("interpolate", steps)
        z = self._latents(draws.noise(0, num_images, self.device), temperature, truncation)
        labels = self.labels(classes, num_images)
        if labels is not None:
            order = self.grouped_by_class(classes, num_images)
            z, labels = z[order], labels[order]
        rows = []
        t = torch.linspace(0, 1, steps + 1, device=self.device)
        for left in range(num_images):
            right = (left + 1) % num_images
            path = slerp(z[left], z[right], t)
            both = None if labels is None else _label_path(labels[left], labels[right], t)
            parts = [slice(begin, begin + CHUNK) for begin in range(0, steps + 1, CHUNK)]
            row = []
            for part in parts:
                chosen = None if both is None else both[part]
                row.append(self._decode(path[part], chosen, self._style_edit(chosen, truncation_psi, shift)))
            rows.append(_to_cpu(torch.cat(row)))
        return torch.stack(rows)

    def sliders(
        self,
        directions: Sequence[str | int],
        num_images: int = 10,
        *,
        seed: int = 0,
        seeds: Seeds | None = None,
        classes: Classes | None = None,
        temperature: float = 1.0,
        truncation: float | None = None,
        truncation_psi: float | None = None,
    ) -> Iterator[Tensor]:
        """Yields for each image its variants along each direction, (D, 7, C, H, W), for strengths from -3 to 3.

        Args:
            directions: names as for `stream`; `"pca0-3"` stands for pca0, pca1, pca2 and pca3.
            num_images, seed, seeds, classes, temperature, truncation, truncation_psi: as for `stream`.

        Raises:
            UserError: if an option is out of range, or the model has no mapping network.
        """
        self._require_styles("sliders", list(directions), "interpolate=8 shows changes of z")
        _check_at_least("num_images", num_images, 1)
        self._check_truncation(truncation, truncation_psi)
        names = self._directions.names(directions)
        _check_at_least("sliders", len(names), 1, "directions")
        units = torch.stack([self._directions.shift({name: 1.0}, "sliders") for name in names])
        shifts = units[:, None] * torch.tensor(STRENGTHS, device=self.device)[:, None]  # (D, 7, W)
        draws, choice = self.draws(num_images, seed, seeds, classes), self._class_choice(classes)
        self._check_memory(CHUNK, 1, choice, {})
        return self._sliders(shifts, draws, choice, temperature, truncation, truncation_psi)

    @torch.no_grad()
    def _sliders(
        self,
        shifts: Tensor,
        draws: Draws,
        choice: ClassChoice | None,
        temperature: float,
        truncation: float | None,
        truncation_psi: float | None,
    ) -> Iterator[Tensor]:
        model = cast(HasStyles, self.model)
        for position in range(draws.count):
            labels = self._labels(choice, position, position + 1)
            noise = draws.noise(position, position + 1, self.device)
            w = self._styles(noise, labels, temperature, truncation, truncation_psi)
            images = [model.draw(part) for part in (w + shifts.flatten(0, 1)).split(CHUNK)]
            yield _to_cpu(torch.cat(images)).unflatten(0, shifts.shape[:2])

    @torch.no_grad()
    def mix(
        self,
        mix_seeds: Seeds,
        num_images: int = 10,
        *,
        mix_layer: int | None = None,
        seed: int = 0,
        seeds: Seeds | None = None,
        classes: Classes | None = None,
        temperature: float = 1.0,
        truncation: float | None = None,
        truncation_psi: float | None = None,
    ) -> Tensor:
        """Mixes styles (Karras et al. 2019, StyleGAN, section 3.1): coarse layers from one sample, fine from another.

        Args:
            mix_seeds: seeds of the C samples that control the fine layers, as `seeds`.
            num_images, seed, seeds, classes, temperature, truncation, truncation_psi: as for `stream`, of the R samples
                that control the coarse layers; `classes` and what follows it apply to both.
            mix_layer: the first fine layer, from 1 to `num_styles` - 1 of the model; None = the middle.

        Returns:
            (R, C, channels, H, W).

        Raises:
            UserError: if an option is out of range, or the model has no mapping network.
        """
        self._require_styles("mix_seeds", list(mix_seeds), "interpolate=8 mixes z")
        self._check_truncation(truncation, truncation_psi)
        model, last = cast(HasStyles, self.model), cast(HasStyles, self.model).num_styles - 1
        first_fine = (last + 1) // 2 if mix_layer is None else mix_layer
        if not 1 <= first_fine <= last:
            raise UserError("mix_layer", mix_layer, f"1 to {last}, the finest layer of this model, or null")
        choice = self._class_choice(classes)
        self._check_memory(CHUNK, 1, choice, {})
        styles = []
        for chosen in (self.draws(num_images, seed, seeds, classes), self.draws(0, 0, mix_seeds, classes)):
            noise = chosen.noise(0, chosen.count, self.device)
            labels = self._labels(choice, 0, chosen.count)
            styles.append(self._styles(noise, labels, temperature, truncation, truncation_psi))
        coarse, fine = styles
        images = []
        for w in coarse:
            layers = w.expand(len(fine), last + 1, -1).clone()
            layers[:, first_fine:] = fine[:, None]
            images.append(_to_cpu(torch.cat([model.draw(part) for part in layers.split(CHUNK)])))
        return torch.stack(images)

    @torch.no_grad()
    def reconstruct(self, images: Tensor, classes: Classes | None = None) -> Tensor:
        """Encodes and decodes images (N, C, H, W).

        Args:
            images: values in [-1, 1].
            classes: the classes of the images, which a conditional model requires: one for all images, or one for each.

        Raises:
            UserError: if the model does not encode images, or the classes are missing.
        """
        if self.makes_sequences or not isinstance(self.model, Reconstructs):
            raise UserError("reconstruct", type(self.model).__name__, "a model that encodes images: model=vae")
        self._require_classes(classes, len(images))
        labels = self.labels(classes, len(images))
        parts = [slice(begin, begin + CHUNK) for begin in range(0, len(images), CHUNK)]
        decoded = [
            self.model.reconstruct(images[part].to(self.device), None if labels is None else labels[part])
            for part in parts
        ]
        return _to_cpu(torch.cat(decoded))

    def labels(self, classes: Classes | None, count: int) -> Tensor | None:
        """The given classes in turn, on the model's device; None for an unconditional model.

        Returns:
            int64 (count,), or weights of the classes, float32 (count, K), if one of `classes` is a mixture.
        """
        return self._labels(self._class_choice(classes), 0, count)

    def class_name(self, classes: Classes | None, position: int) -> str | None:
        """The class of image `position` of `stream`; None for an unconditional model."""
        choice = self._class_choice(classes)
        return None if choice is None else choice.name(position)

    def _class_choice(self, classes: Classes | None) -> ClassChoice | None:
        if not self.classes:
            if classes is not None:
                expected = "not set; this model is unconditional"
                raise UserError("classes", classes, expected, hint="train with model.conditional=true")
            return None
        choice = ClassChoice(classes, self.classes)
        if choice.is_mixed:
            self._require_mixing(classes)
        return choice

    def _labels(self, choice: ClassChoice | None, begin: int, end: int) -> Tensor | None:
        return None if choice is None else choice.labels(begin, end, self.device)

    @torch.no_grad()
    def _require_mixing(self, classes: Classes | None) -> None:
        """Raises UserError unless the model draws an image from weights of classes."""
        model = self._decoder("classes", classes)
        weights = torch.full((1, len(self.classes)), 1 / len(self.classes), device=self.device)
        try:
            model.decode(torch.zeros(1, model.latent_dim, device=self.device), weights)
        except (TypeError, ValueError, RuntimeError, IndexError) as error:
            expected = "classes without mixtures; the networks of this model take one class for each image"
            raise UserError("classes", classes, expected) from error

    def draws(self, num_images: int, seed: int, seeds: Seeds | None, classes: Classes | None) -> Draws:
        """Which samples `stream` draws with these arguments. Raises UserError if `seeds` is not a list of seeds."""
        return Draws.of(num_images, seed, seeds, self.class_count(classes))

    def class_count(self, classes: Classes | None) -> int:
        """The number of classes that are drawn in turn; 1 for an unconditional model."""
        choice = self._class_choice(classes)
        return 1 if choice is None else len(choice)

    def grouped_by_class(self, classes: Classes | None, count: int) -> list[int]:
        """The indices of the first `count` images, images of one class adjacent."""
        turns = self.class_count(classes)
        return sorted(range(count), key=lambda index: index % turns)

    def _require_classes(self, classes: Classes | None, count: int) -> None:
        """A conditional model cannot guess the classes of given images."""
        if self.classes and (classes is None or self.class_count(classes) not in (1, count)):
            expected = f"the class of the images: one for all {count}, or one for each"
            raise UserError("classes", classes, expected, hint="this model is conditional")

    def _latents(self, noise: Noise, temperature: float, truncation: float | None) -> Tensor:
        """The latents z (N, latent_dim) of the noise."""
        z = noise.normal(cast(Decodes, self.model).latent_dim)
        return temperature * (z if truncation is None else truncate(z, truncation))

    def _styles(
        self,
        noise: Noise,
        labels: Tensor | None,
        temperature: float,
        truncation: float | None,
        truncation_psi: float | None,
    ) -> Tensor:
        """The styles w (N, W) of the noise, of a model with a mapping network."""
        w = cast(HasStyles, self.model).style(self._latents(noise, temperature, truncation), labels)
        return w if truncation_psi is None else truncate_styles(w, self._mean_styles.of(labels), truncation_psi)

    def _style_edit(
        self, labels: Tensor | None, truncation_psi: float | None, shift: Tensor | None
    ) -> StyleEdit | None:
        """The change of the styles of images with these labels; None if they do not change."""
        if truncation_psi is None and shift is None:
            return None
        mean = None if truncation_psi is None else self._mean_styles.of(labels)

        def edit(w: Tensor) -> Tensor:
            if mean is not None and truncation_psi is not None:
                w = truncate_styles(w, mean, truncation_psi)
            return w if shift is None else w + shift

        return edit

    def _shift(self, directions: Strengths | None) -> Tensor | None:
        """The change (W,) of every style along the directions."""
        if directions is None:
            return None
        self._require_styles("directions", dict(directions), "temperature, truncation and classes act on z")
        return self._directions.shift(directions, "directions")

    @cached_property
    def _mean_styles(self) -> MeanStyles:
        return MeanStyles(cast(HasStyles, self.model), self.device)

    @cached_property
    def _directions(self) -> Directions:
        return Directions(cast(HasStyles, self.model), self._mean_styles, self.classes, self.device)

    def _decode(self, z: Tensor, labels: Tensor | None, edit: StyleEdit | None) -> Tensor:
        """The images (N, C, H, W) of latents z (N, latent_dim), with changed styles."""
        if edit is None:
            return cast(Decodes, self.model).decode(z, labels)
        model = cast(HasStyles, self.model)
        return model.draw(edit(model.style(z, labels)))

    def _decoder(self, key: str, got: object) -> Decodes:
        if self.makes_sequences or not isinstance(self.model, Decodes):
            raise UserError(key, got, f"not set; {type(self.model).__name__} does not decode images from latents")
        return self.model

    def _check_truncation(self, truncation: float | None, truncation_psi: float | None) -> None:
        if truncation is not None:
            self._decoder("truncation", truncation)
            if not truncation > 0:
                raise UserError("truncation", truncation, "more than 0 standard deviations, or null for no truncation")
        if truncation_psi is not None:
            self._require_styles("truncation_psi", truncation_psi, "truncation=1.0 truncates z")
            _check_at_least("truncation_psi", truncation_psi, 0)

    def _check_select(self, select: float | None) -> None:
        if select is None:
            return
        if not isinstance(self.model, Discriminates) or not self.model.has_discriminator:
            hint = "use the run or a checkpoint of model=gan; exports contain no discriminator"
            raise UserError("select", select, "not set; this model has no discriminator", hint)
        if not 0.01 <= select <= 1:
            raise UserError("select", select, "a share from 0.01 to 1, or null")

    def _require_styles(self, key: str, got: object, hint: str) -> None:
        self._decoder(key, got)
        if not isinstance(self.model, HasStyles) or not self.model.num_styles:
            raise UserError(key, got, "not set; this model has no mapping network", hint)


def _label_path(start: Tensor, end: Tensor, t: Tensor) -> Tensor:
    """From one class to another at the times t (T,): (T,), which changes half-way, or weights (T, K) of mixtures."""
    if start.is_floating_point():
        return torch.lerp(start[None], end[None], t[:, None])
    return torch.where(t < 0.5, start, end)


def _to_cpu(images: Tensor) -> Tensor:
    """Returns float32 on the CPU. Raises UserError for values that are not finite, which damaged weights produce."""
    images = images.float().cpu()
    if not images.isfinite().all():
        raise UserError("run", "images that are not finite", "weights that produce finite images", "train again")
    return images


def _check_at_least(key: str, got: float | None, least: int, why: str = "") -> None:
    """Raises UserError unless `got` is `least` or more; NaN is not."""
    if got is None or not got >= least:
        raise UserError(key, got, f"{least} or more {why}".rstrip())
