"""Seeded sampling from a trained model.

The noise of an image is a function of (seed, index), that of a sequence of (seed, index, future). Images are drawn in
chunks of `Source.chunk`, so memory is bounded by one chunk. A chunk is always drawn completely, because rounding may
depend on the size of a batch; image i of a seed is then the same, bit for bit, for any number of images.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Unpack, cast

import torch
from torch import Tensor

from genimg.sampling import roll_out
from genimg.sampling.actions import Actions, sequence_length
from genimg.sampling.classes import Classes
from genimg.sampling.inputs import Seeds
from genimg.sampling.interpolation import interpolate
from genimg.sampling.memory import check_kept
from genimg.sampling.projected import Latents, stream_latents
from genimg.sampling.projection import project
from genimg.sampling.reconstruction import encode, stream_decoded, stream_reconstructions
from genimg.sampling.roll_out import RollOut
from genimg.sampling.sequences import ClipSettings
from genimg.sampling.settings import LatentOptions, LatentSettings, Strengths
from genimg.sampling.source import Source
from genimg.sampling.stream import stream
from genimg.sampling.style_tables import mix_styles, stream_sliders
from genimg.sampling.trained import TrainedModel


class StreamOptions(LatentOptions, total=False):
    """The keyword arguments of `Sampler.stream`, which describes those that are not in `LatentSettings`."""

    select: float | None
    start: Tensor | None
    end: Tensor | None
    loop: bool
    num_frames: int | None
    futures: int
    actions: Actions | None


class Sampler(TrainedModel):
    """A trained model, ready to be sampled.

    All images that it takes and returns have values in [-1, 1]. Results are float32 on the CPU: images (N, C, H, W)
    from an image model, sequences (N, T, C, H, W) from a sequence model. The global random state is not used. All
    methods that draw take the keyword arguments of `LatentSettings`: `seed`, `seeds`, `classes`, `temperature`,
    `truncation`, `truncation_psi` and `directions`. They raise UserError before anything is drawn, if an option is out
    of range, the model does not support it, or the images need more than the free memory.

    Example:
        >>> import genimg
        >>> sampler = genimg.load("last")  # the newest run in outputs/
        >>> images = sampler.sample(16, seed=3, truncation=0.7)
        >>> images.shape == (16, *sampler.image_shape)
        True
        >>> sampler.interpolate(4, steps=8).shape[:2]
        torch.Size([4, 9])
    """

    def source(self, num_images: int = 10, **latents: Unpack[LatentOptions]) -> Source:
        """The samples that these options describe: their number, noise and classes."""
        return Source(self, LatentSettings(num_images=num_images, **latents))

    def sample(self, num_images: int = 10, **options: Unpack[StreamOptions]) -> Tensor:
        """Returns all images of `stream`, with the same options: (N, C, H, W), or sequences (N, T, C, H, W)."""
        parts = self.stream(num_images, **options)
        latents = {key: value for key, value in options.items() if key in LatentOptions.__annotations__}
        length = sequence_length(self, options.get("num_frames"), options.get("actions"))
        frames = (length or 1) * options.get("futures", 1)
        count = self.source(num_images, **cast(LatentOptions, latents)).count
        check_kept("num_images", count * frames, self.image_shape, "stream() draws them in parts")
        return torch.cat(list(parts))

    def stream(
        self,
        num_images: int = 10,
        *,
        select: float | None = None,
        start: Tensor | None = None,
        end: Tensor | None = None,
        loop: bool = False,
        num_frames: int | None = None,
        futures: int = 1,
        actions: Actions | None = None,
        **latents: Unpack[LatentOptions],
    ) -> Iterator[Tensor]:
        """Yields the images in order, at most `Source.chunk` (times `futures`) at a time.

        Args:
            num_images: number of images, or of start images of a sequence model; 1 or more.
            select: share of the images that is kept, from 0.01 to 1: an image whose logit is not among the highest of
                its class is drawn again (see `Selection`). Models with a discriminator only. None = all images.
            start: the given frames of the sequences (num_images, k, C, H, W), or images (num_images, C, H, W) for a
                model of one given frame; None = the model's own. Sequence models only. A conditional model requires
                `classes`: one for all, or one for each.
            end: the last frame of the sequences (see `endings`): images (num_images, C, H, W), or (1, C, H, W) for one
                that they share; None = any. RNN only.
            loop: whether the sequences can be repeated without a jump. RNN only.
            num_frames: length of the sequences including the given frames, at least one more; None = one for each
                action, without actions as in training. Sequence models only.
            futures: number of sequences for each start image, adjacent in the result. Sequence models only.
            actions: names or numbers of the actions that lead to the frames after the given ones, the same for all
                sequences; the last one is repeated up to `num_frames`. int64 (num_images, M) has those of each start.
                None = random ones, as often as in the training data. Models with actions only.
            latents: see `LatentSettings`.
        """
        clips = ClipSettings(start, end, loop, num_frames, futures, actions)
        return stream(self.source(num_images, **latents), select, clips)

    def roll_out(
        self, start: Tensor, classes: Classes | None = None, *, seed: int = 0, temperature: float = 1.0
    ) -> RollOut:
        """Begins animations that are drawn piece by piece: see `RollOut`. Sequence models only.

        Args:
            start, classes, seed, temperature: as for `stream`, where the number of starts is `num_images`.
        """
        return roll_out.begin(self, start, classes, seed, temperature)

    def continue_from(self, path: str | Path) -> RollOut:
        """The animations of a file that `RollOut.save` has written, with this model. No code in the file can run."""
        return roll_out.read(self, path)

    def interpolate(self, num_images: int, steps: int, **latents: Unpack[LatentOptions]) -> Tensor:
        """Interpolates from each latent to the next, and from the last to the first.

        The interpolation is spherical: latents of a normal distribution lie near a sphere of radius sqrt(latent_dim),
        and a straight line between two of them passes far inside it, where the model was not trained (White 2016,
        "Sampling generative networks").

        Args:
            num_images: number of latents N, 2 or more; ignored with `seeds`.
            steps: steps from one latent to the next, 1 or more.
            latents: see `LatentSettings`.

        Returns:
            (N, steps + 1, C, H, W). Row i leads from image i of `sample` to the next. Images of one class
            are adjacent; between two classes, the class changes half-way. With mixtures the weights change gradually.
        """
        return interpolate(self.source(num_images, **latents), steps)

    def sliders(
        self, sliders: Sequence[str | int], num_images: int = 10, **latents: Unpack[LatentOptions]
    ) -> Iterator[Tensor]:
        """Yields for each image its variants along each direction, (D, 7, C, H, W), for strengths from -3 to 3.

        Models with a mapping network only.

        Args:
            sliders: names as those of `LatentSettings.directions`; `"pca0-3"` stands for pca0, pca1, pca2 and pca3.
            num_images, latents: as for `stream`.
        """
        return stream_sliders(self.source(num_images, **latents), sliders)

    def mix(
        self,
        mix_seeds: Seeds,
        num_images: int = 10,
        *,
        mix_layer: int | None = None,
        **latents: Unpack[LatentOptions],
    ) -> Tensor:
        """Mixes styles (Karras et al. 2019, StyleGAN, section 3.1): coarse layers from one sample, fine from another.

        Models with a mapping network only.

        Args:
            mix_seeds: seeds of the C samples that control the fine layers, as `seeds`.
            mix_layer: the first fine layer, from 1 to `num_styles` - 1 of the model; None = the middle.
            num_images, latents: as for `stream`, of the R samples that control the coarse layers; all but the seeds
                apply to both.

        Returns:
            (R, C, channels, H, W).
        """
        coarse = self.source(num_images, **latents)
        return mix_styles(coarse, Source(self, replace(coarse.settings, seeds=mix_seeds)), mix_layer)

    def project(
        self,
        images: Tensor,
        classes: Classes | None = None,
        *,
        project_space: str | None = None,
        project_steps: int = 300,
        seed: int = 0,
    ) -> Latents:
        """Finds the latents whose images are most like given images (N, C, H, W): see `projection`.

        The model must decode images from latents. `draw` draws the images of the result, and `Latents.save` keeps it.

        Args:
            images: values in [-1, 1].
            classes: as for `reconstruct`.
            project_space: z; w, one style for all layers; or w+, a style for each layer, which comes closest to images
                that the model would not draw. None = w+ for a model with a mapping network, else z.
            project_steps: steps of the optimisation, 1 or more.
            seed: of the latents from which it starts.

        Raises:
            UserError: if an option is out of range, or the model does not support it.
        """
        return project(self, images, classes, project_space, project_steps, seed)

    def draw(self, latents: Latents, directions: Strengths | None = None) -> Tensor:
        """The images (N, C, H, W) of latents, changed along `directions` as for `LatentSettings`."""
        check_kept("latents", len(latents), self.image_shape, "fewer latents")
        return torch.cat(list(stream_latents(self, latents, directions)))

    def encode(self, images: Tensor, classes: Classes | None = None) -> Tensor:
        """The most probable latents of images (N, C, H, W), (N, latent_dim): the means of the posterior.

        Models with an encoder to vectors only: VAE and DRAW. `project` finds latents of a GAN.

        Args:
            images: values in [-1, 1].
            classes: as for `reconstruct`.

        Example:
            >>> first, second = sampler.encode(images[:2])  # doctest: +SKIP
            >>> between = sampler.decode(torch.stack([first, (first + second) / 2, second]))  # doctest: +SKIP
        """
        check_kept("encode", len(images), images.shape[1:], "fewer images")
        return encode(self, images, classes)

    def decode(self, latents: Tensor, classes: Classes | None = None) -> Tensor:
        """The images (N, C, H, W) of latents (N, latent_dim).

        Args:
            latents: of a VAE or DRAW as `encode` returns them; of a GAN z ~ N(0, I).
            classes: as for `reconstruct`.
        """
        check_kept("decode", len(latents), self.image_shape, "fewer latents")
        return torch.cat(list(stream_decoded(self, latents, classes)))

    def reconstruct(self, images: Tensor, classes: Classes | None = None) -> Tensor:
        """Encodes and decodes images (N, C, H, W).

        Args:
            images: values in [-1, 1].
            classes: the classes of the images, which a conditional model requires: one for all images, or one for each.

        Raises:
            UserError: if the model does not encode images, or the classes are missing.
        """
        parts = stream_reconstructions(self, images, classes)
        check_kept("reconstruct", len(images), images.shape[1:], "fewer images")
        return torch.cat(list(parts))

    def labels(self, classes: Classes | None, count: int) -> Tensor | None:
        """The given classes in turn, on the model's device; None for an unconditional model.

        Returns:
            int64 (count,), or weights of the classes, float32 (count, K), if one of `classes` is a mixture.
        """
        return self.class_choice(classes).labels(0, count, self.device)
