"""Which samples are drawn, and how their latents are changed: the options that every kind of output shares."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypedDict

from genimg.common.errors import UserError
from genimg.sampling.classes import Classes
from genimg.sampling.inputs import Seeds

Strengths = Mapping[str | int, float]  # of directions, by name


class LatentOptions(TypedDict, total=False):
    """The keyword arguments of every method of `Sampler` that draws; `LatentSettings` describes them."""

    seed: int
    seeds: Seeds | None
    classes: Classes | None
    temperature: float
    guidance: float | None
    truncation: float | None
    truncation_psi: float | None
    directions: Strengths | None


@dataclass(frozen=True)
class LatentSettings:
    """Which samples are drawn, and how their latents are changed.

    Attributes:
        num_images: number of images, or of start images of a sequence model; 1 or more.
        seed: 0 or more. The same seed gives the same images. Image i does not depend on `num_images`, nor sequence
            (i, future) on the number of start images and of futures.
        seeds: seeds and ranges, for example `[1, 5, "9-12"]`. Each seed is drawn once in each of the classes: the
            images of the first seed come first. The image of seed k in class c is the first image of `seed=k` and
            `classes=[c]`, up to rounding. `num_images` and `seed` are then ignored. None = one seed.
        classes: names or numbers of a conditional model's classes, drawn in turn; None = all classes. A mapping of
            classes to weights is a mixture, whose embedding is the weighted mean of theirs: `{"cat": 3, "dog": 1}`.
        temperature: scale of the latent noise, 0 or more; below 1, samples are more typical and less varied.
        guidance: weight of the class: 1 = as trained, 0 = without the class, above 1 = more typical of it and less
            varied (Ho & Salimans 2022). Conditional pixel models only. None = 1.
        truncation: truncates the latents at this many standard deviations (Brock et al. 2019, BigGAN, section
            3.1). Image models with latents only. None = no truncation.
        truncation_psi: fraction of a style's distance from the mean style of its class that is kept (Karras et al.
            2019, StyleGAN, appendix B): 1 = all, 0 = the mean alone; above 1 is an exaggeration. The mean is that
            of 4,096 fixed latents. Models with a mapping network only. None = no truncation.
        directions: strengths of directions in the space of styles (see `Directions`), added after truncation:
            `{"pca0": 1.5, "sefa2": -1, "cat": 0.5}`. Models with a mapping network only.
    """

    num_images: int = 10
    seed: int = 0
    seeds: Seeds | None = None
    classes: Classes | None = None
    temperature: float = 1.0
    guidance: float | None = None
    truncation: float | None = None
    truncation_psi: float | None = None
    directions: Strengths | None = None

    def check(self) -> None:
        """Raises UserError if a number is out of its range, for any model."""
        if self.seeds is None:
            check_at_least("num_images", self.num_images, 1)
            check_at_least("seed", self.seed, 0)
        check_at_least("temperature", self.temperature, 0)
        if self.guidance is not None:
            check_at_least("guidance", self.guidance, 0)
        if self.truncation is not None and not self.truncation > 0:
            expected = "more than 0 standard deviations, or null for no truncation"
            raise UserError("truncation", self.truncation, expected)
        if self.truncation_psi is not None:
            check_at_least("truncation_psi", self.truncation_psi, 0)


def check_at_least(key: str, got: float | None, least: int, why: str = "") -> None:
    """Raises UserError unless `got` is `least` or more; NaN is not."""
    if got is None or not got >= least:
        raise UserError(key, got, f"{least} or more {why}".rstrip())
