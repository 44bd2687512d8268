"""The samples of one call: which ones, of which classes, and how their latents become images."""

from collections.abc import Iterator
from typing import Any, cast

import torch
from torch import Tensor

from genimg.common.errors import UserError
from genimg.common.noise import Noise
from genimg.models.base import Decodes, Guided, HasStyles
from genimg.sampling.draws import Draws
from genimg.sampling.latents import truncate
from genimg.sampling.memory import check_chunk
from genimg.sampling.settings import LatentSettings
from genimg.sampling.styles import truncate_styles
from genimg.sampling.trained import TrainedModel

CHUNK = 16  # images drawn at once, by most models
_COPIES = 3  # of the result: parts, the whole, and its conversion to 8 bits


class Source:
    """The samples of a trained model that some settings describe.

    Args:
        trained: the model that draws them.
        settings: checked here, before anything is drawn.

    Raises:
        UserError: if a setting is out of range, or the model does not support it.
    """

    def __init__(self, trained: TrainedModel, settings: LatentSettings) -> None:
        settings.check()
        self.trained, self.settings, self.device = trained, settings, trained.device
        self.classes = trained.class_choice(settings.classes)
        self.draws = Draws.of(settings.num_images, settings.seed, settings.seeds, len(self.classes))
        if settings.truncation is not None:
            trained.decoder("truncation", settings.truncation)
        if settings.truncation_psi is not None:
            trained.styled("truncation_psi", settings.truncation_psi, "truncation=1.0 truncates z")
        if settings.guidance is not None:
            trained.guided("guidance", settings.guidance)
            if not trained.classes:
                expected = "not set; this model has no classes"
                raise UserError("guidance", settings.guidance, expected, "train with model.conditional=true")
        self._shift = trained.shift(settings.directions)

    @property
    def count(self) -> int:
        """The number of samples."""
        return self.draws.count

    @property
    def chunk(self) -> int:
        """Images drawn at once: more by a model that draws one value after the other, whose steps take as long."""
        return 4 * CHUNK if isinstance(self.trained.model, Guided) else CHUNK

    def noise(self, begin: int, end: int) -> Noise:
        """The noise of the samples `begin` to `end` - 1."""
        return self.draws.noise(begin, end, self.device)

    def labels(self, begin: int, end: int) -> Tensor | None:
        """The classes of the samples `begin` to `end` - 1, as the model takes them; None if it is unconditional."""
        return self.classes.labels(begin, end, self.device)

    def latents(self, noise: Noise) -> Tensor:
        """The truncated and scaled latents z (N, latent_dim) of the noise."""
        z = noise.normal(cast(Decodes, self.trained.model).latent_dim)
        if self.settings.truncation is not None:
            z = truncate(z, self.settings.truncation)
        return self.settings.temperature * z

    def draw(self, noise: Noise, labels: Tensor | None) -> Tensor:
        """The images (N, C, H, W) of the noise."""
        if self.changes_latents:
            return self.decode(self.latents(noise), labels)
        model, temperature = self.trained.model, self.settings.temperature
        if self.settings.guidance is not None:
            assert labels is not None
            return cast(Guided, model).sample_guided(noise, labels, temperature, self.settings.guidance)
        return model.sample(noise, labels=labels, temperature=temperature)

    @property
    def changes_latents(self) -> bool:
        """Whether images are drawn from changed latents or styles, beyond their temperature."""
        return self.settings.truncation is not None or self._changes_styles

    @property
    def _changes_styles(self) -> bool:
        return self.settings.truncation_psi is not None or self._shift is not None

    def styles(self, z: Tensor, labels: Tensor | None) -> Tensor:
        """The truncated and shifted styles w (N, W) of latents, for a model with a mapping network."""
        w = cast(HasStyles, self.trained.model).style(z, labels)
        if self.settings.truncation_psi is not None:
            w = truncate_styles(w, self.trained.mean_styles.of(labels), self.settings.truncation_psi)
        return w if self._shift is None else w + self._shift

    def decode(self, z: Tensor, labels: Tensor | None) -> Tensor:
        """The images (N, C, H, W) of latents."""
        if not self._changes_styles:
            return cast(Decodes, self.trained.model).decode(z, labels)
        return cast(HasStyles, self.trained.model).draw(self.styles(z, labels))

    def check_memory(self, count: int = CHUNK, frames: int = 1, with_logits: bool = False, **options: Any) -> None:
        """Raises UserError if a chunk exceeds the free memory.

        Args:
            count: samples of the chunk.
            frames: frames that are kept of each.
            with_logits: whether the discriminator sees the chunk.
            options: of the sequences that the model draws, on which the estimate is made.
        """
        trained = self.trained
        if isinstance(trained.model, Guided):  # it draws values one by one: far less memory than a step of training
            return
        if count * frames <= trained.frames_that_fit and not with_logits:
            return

        @torch.no_grad()
        def draw(model: Any) -> Tensor:
            start = {"start": torch.empty(count, *trained.start_shape)} if trained.makes_sequences else {}
            labels = self.labels(0, count)
            samples = model.sample(Noise.of_first(count, seed=0), labels=labels, **start, **options)
            if with_logits:
                model.logits(samples, labels)
            return samples

        copies = _COPIES * -(-frames // options.get("num_frames", 1))
        hint = "a smaller num_frames or futures" if trained.makes_sequences else "use a machine with more memory"
        check_chunk(trained.model, draw, copies, hint)
        trained.frames_that_fit = count * frames


def chunks(count: int, size: int = CHUNK) -> Iterator[slice]:
    """Divides `count` samples into chunks."""
    return (slice(begin, min(begin + size, count)) for begin in range(0, count, size))


def to_cpu(images: Tensor) -> Tensor:
    """Returns float32 on the CPU. Raises UserError for values that are not finite, which damaged weights produce."""
    images = images.float().cpu()
    if not images.isfinite().all():
        raise UserError("run", "images that are not finite", "weights that produce finite images", "train again")
    return images
