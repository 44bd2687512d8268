"""Differentiable augmentation of the discriminator's inputs, against memorisation of small data sets."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from genimg.models.networks import ada
from genimg.models.networks.diff_augment import color, cutout, hidden, translate
from genimg.models.networks.probability import Probability

#: Operations of DiffAugment, which change every image.
DIFF_AUGMENT = {"translation": translate, "cutout": cutout, "color": color}
#: Operations of ADA, each applied to an image with probability p; `ada` is the first three.
ADA = ("ada_blit", "ada_geometry", "ada_color", "ada_cutout")
#: The names that a list of `model.augmentation` may have.
OPERATIONS = ("translation", "cutout", "color", "ada_blit", "ada_geometry", "ada_color", "ada_cutout")


class Augmentation(nn.Module):
    """Random changes of the images, differentiable in the pixels, for everything that a discriminator sees.

    Args:
        policy: names of `OPERATIONS`: those of DiffAugment are applied in this order, then those of ADA. "ada" is
            the pipeline of the paper without filters, noise and cutout: its "bgc", the best on small data sets.
        probability: of each operation of ADA; not used by those of DiffAugment.

    Raises:
        ValueError: for an unknown name.
    """

    def __init__(self, policy: Sequence[str] | Literal["ada"], probability: Probability) -> None:
        super().__init__()
        names = ADA[:3] if policy == "ada" else tuple(policy)
        if unknown := [name for name in names if name not in OPERATIONS]:
            raise ValueError(f"augmentation must be a list of {', '.join(OPERATIONS)}, got {unknown[0]!r}")
        self.always = tuple(name for name in names if name in DIFF_AUGMENT)
        self.sometimes = tuple(name for name in names if name in ADA)
        self.probability = probability if self.sometimes else None

    @property
    def active(self) -> bool:
        """Whether it has any operation."""
        return bool(self.always or self.sometimes)

    def pair(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        """Both batches (B, C, H, W) in [-1, 1], image i of both with the same draw."""
        if not self.active:
            return real, fake
        real, fake = self(torch.cat([real, fake]), copies=2).chunk(2)
        return real, fake

    def forward(self, images: Tensor, copies: int = 1) -> Tensor:
        """Images (B, C, H, W) in [-1, 1], shape kept: `copies` sets of equal size, whose images share a draw."""
        for name in self.always:
            images = DIFF_AUGMENT[name](images, copies)
        if self.probability is not None:
            with torch.autocast(images.device.type, enabled=False):  # places need float32
                images = self._ada(images, self.probability.p, copies)
        return images

    def schedule(self, progress: float) -> None:
        """Sets a probability that follows a schedule; called before each step. progress: 0 to 1."""
        if self.probability is not None:
            self.probability.schedule(progress)

    def adapt(self, real_logits: Tensor, fake_logits: Tensor, images: int) -> dict[str, Tensor]:
        """Adapts the probability after a step, see `Probability.adapt`, and returns metrics of it."""
        return {} if self.probability is None else self.probability.adapt(real_logits, fake_logits, images)

    def _ada(self, images: Tensor, p: Tensor, copies: int) -> Tensor:
        draw, (channels, height, width) = ada.Draw(len(images) // copies, p), images.shape[1:]
        operations = {"ada_blit": ada.blit, "ada_geometry": ada.geometry}
        maps = [operations[name](draw, height, width) for name in operations if name in self.sometimes]
        if maps:
            images = ada.warp(images, ada.product(*maps).repeat(copies, 1, 1))
        if "ada_color" in self.sometimes:
            images = ada.change_color(images, ada.recolor(draw, channels).repeat(copies, 1, 1))
        if "ada_cutout" in self.sometimes:
            applied = torch.rand(draw.count, 1, 1, 1, device=p.device) < p
            images = images * ~(hidden(images, copies) & applied).repeat(copies, 1, 1, 1)
        return images
