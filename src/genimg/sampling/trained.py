"""A trained model with the shape of its images and the names of its classes, and what it is able to do."""

from collections.abc import Sequence
from functools import cached_property
from typing import cast

import torch
from torch import Tensor

from genimg.common.errors import UserError
from genimg.models.base import (
    Decodes,
    DecodesInSteps,
    Discriminates,
    DrawsPixels,
    GenerativeModel,
    Guided,
    HasStyles,
    Reconstructs,
    Repeats,
)
from genimg.sampling.classes import ClassChoice, Classes
from genimg.sampling.directions import Directions
from genimg.sampling.settings import Strengths
from genimg.sampling.styles import MeanStyles


class TrainedModel:
    """A trained model in eval mode on its device. Where it lacks a part, a UserError names the option that needs it.

    Args:
        model: moved to `device` and put into eval mode.
        image_shape: (C, H, W) of one image.
        num_frames: frames of a training sequence; None for an image model.
        classes: names of the labels 0, 1, ... of a conditional model; empty for an unconditional model.
        device: device of the model.
        actions: names of the actions 0, 1, ... that a sequence model takes; empty for a model without them.
    """

    def __init__(
        self,
        model: GenerativeModel,
        image_shape: Sequence[int],
        num_frames: int | None = None,
        classes: Sequence[str] = (),
        device: str | torch.device = "cpu",
        actions: Sequence[str] = (),
    ) -> None:
        channels, height, width = image_shape
        self.image_shape = (int(channels), int(height), int(width))
        self.num_frames, self.classes, self.actions = num_frames, tuple(classes), tuple(actions)
        self.device = torch.device(device)
        self.model = model.to(self.device).eval()
        #: The most samples, times their frames, for which the memory of a chunk has been checked.
        self.frames_that_fit = 0

    @property
    def makes_sequences(self) -> bool:
        """Whether a sample is a sequence (T, C, H, W) rather than an image (C, H, W)."""
        return self.num_frames is not None

    @property
    def start_shape(self) -> tuple[int, ...]:
        """Shape (k, C, H, W) of the given frames, from which a sequence starts."""
        return (self.model.given_frames, *self.image_shape)

    @property
    def can_interpolate(self) -> bool:
        """Whether the model decodes images from latents, as `interpolate` and `truncation` require."""
        return isinstance(self.model, Decodes) and not self.makes_sequences

    @property
    def has_styles(self) -> bool:
        """Whether the model has a mapping network."""
        return self.can_interpolate and isinstance(self.model, HasStyles) and self.model.num_styles > 0

    @property
    def makes_tiles(self) -> bool:
        """Whether images continue each other without a seam, side by side (`model.padding=circular`)."""
        return isinstance(self.model, Repeats) and self.model.periodic

    def decoder(self, key: str, got: object) -> Decodes:
        """The model, which decodes images from latents. `key` is the option that requires it, and `got` its value."""
        if self.makes_sequences or not isinstance(self.model, Decodes):
            raise UserError(key, got, f"not set; {type(self.model).__name__} does not decode images from latents")
        return self.model

    def styled(self, key: str, got: object, hint: str) -> HasStyles:
        """The model, which has a mapping network."""
        self.decoder(key, got)
        if not isinstance(self.model, HasStyles) or not self.model.num_styles:
            raise UserError(key, got, "not set; this model has no mapping network", hint)
        return self.model

    def by_pixels(self, key: str, got: object) -> DrawsPixels:
        """The model, which draws pixel by pixel."""
        if not isinstance(self.model, DrawsPixels):
            raise UserError(
                key, got, f"not set; {type(self.model).__name__} does not draw pixel by pixel", "model=pixel_rnn does"
            )
        return self.model

    def check_drawing(self) -> None:
        """Raises UserError unless the images of the model appear step by step."""
        if not isinstance(self.model, DecodesInSteps | DrawsPixels):
            expected = f"false; the images of {type(self.model).__name__} do not appear step by step"
            raise UserError("drawing", "true", expected, "model=draw and model=pixel_rnn draw in steps")

    def guided(self, key: str, got: object) -> Guided:
        """The model, whose samples can be guided by their class."""
        if not isinstance(self.model, Guided):
            expected = f"not set; {type(self.model).__name__} was not trained without the class"
            raise UserError(key, got, expected, "model=pixel_rnn and model=code_rnn are")
        return self.model

    def discriminating(self, key: str, got: object) -> Discriminates:
        """The model, which has a discriminator."""
        if not isinstance(self.model, Discriminates) or not self.model.has_discriminator:
            hint = "use the run or a checkpoint of model=gan; exports contain no discriminator"
            raise UserError(key, got, "not set; this model has no discriminator", hint)
        return self.model

    def encoder(self, key: str) -> Reconstructs:
        """The model, which encodes images."""
        if self.makes_sequences or not isinstance(self.model, Reconstructs):
            raise UserError(key, type(self.model).__name__, "a model that encodes images: model=vae, draw or code_rnn")
        return self.model

    @cached_property
    def mean_styles(self) -> MeanStyles:
        """The mean styles, of a model with a mapping network."""
        return MeanStyles(cast(HasStyles, self.model), self.device)

    @cached_property
    def directions(self) -> Directions:
        """The directions in the space of styles, of a model with a mapping network."""
        return Directions(cast(HasStyles, self.model), self.mean_styles, self.classes, self.device)

    def shift(self, directions: Strengths | None) -> Tensor | None:
        """The change (W,) of every style along the directions; None without any."""
        if directions is None:
            return None
        self.styled("directions", dict(directions), "temperature, truncation and classes act on z")
        return self.directions.shift(directions, "directions")

    def class_choice(self, classes: Classes | None) -> ClassChoice:
        """The classes that are drawn in turn.

        Raises:
            UserError: if there is no such class, or the model draws no mixtures.
        """
        choice = ClassChoice(classes, self.classes)
        if choice.is_mixed:
            self._check_mixing(classes)
        return choice

    def classes_of(self, count: int, classes: Classes | None) -> ClassChoice:
        """The classes of `count` given images, which a conditional model cannot guess: one for all, or one for each."""
        choice = self.class_choice(classes)
        if self.classes and (classes is None or len(choice) not in (1, count)):
            expected = f"the class of the images: one for all {count}, or one for each"
            raise UserError("classes", classes, expected, hint="this model is conditional")
        return choice

    @torch.no_grad()
    def _check_mixing(self, classes: Classes | None) -> None:
        """Raises UserError unless the model draws an image from weights of classes."""
        model = self.model
        if self.makes_sequences or not isinstance(model, Decodes):
            expected = f"classes without mixtures; {type(model).__name__} takes one class for each sample"
            raise UserError("classes", classes, expected)
        weights = torch.full((1, len(self.classes)), 1 / len(self.classes), device=self.device)
        try:
            model.decode(torch.zeros(1, model.latent_dim, device=self.device), weights)
        except (TypeError, ValueError, RuntimeError, IndexError) as error:
            expected = "classes without mixtures; the networks of this model take one class for each image"
            raise UserError("classes", classes, expected) from error
