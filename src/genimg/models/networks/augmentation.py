"""Differentiable augmentation of the discriminator's inputs, against memorisation of small data sets."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

SHIFT = 0.125  # maximum shift, as a fraction of the side
CUTOUT = 0.5  # side of the rectangle, as a fraction of the side


class DiffAugment(nn.Module):
    """Random shift, cutout and colour per image, differentiable in the pixels (Zhao et al. 2020).

    It must be applied to real and fake images, in the steps of both networks.

    Args:
        policy: names of `POLICIES`, in the order of application.

    Raises:
        ValueError: for an unknown name.
    """

    def __init__(self, policy: Sequence[str]) -> None:
        super().__init__()
        unknown = [name for name in policy if name not in POLICIES]
        if unknown:
            raise ValueError(f"augmentation must be a list of {', '.join(POLICIES)}, got {unknown[0]!r}")
        self.policy = tuple(policy)

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, W) in [-1, 1], shape kept."""
        for name in self.policy:
            images = POLICIES[name](images)
        return images


def translate(images: Tensor) -> Tensor:
    """Shifts by up to an eighth of the side; the border is extended."""
    count, channels, height, width = images.shape
    rows = _shifted(count, height, images.device)
    columns = _shifted(count, width, images.device)
    images = images.gather(2, rows.view(count, 1, height, 1).expand(-1, channels, -1, width))
    return images.gather(3, columns.view(count, 1, 1, width).expand(-1, channels, height, -1))


def _shifted(count: int, side: int, device: torch.device) -> Tensor:
    """Indices (count, side) of one random shift per image."""
    most = round(side * SHIFT)
    shift = torch.randint(-most, most + 1, (count, 1), device=device)
    return (torch.arange(side, device=device) + shift).clamp(0, side - 1)


def cutout(images: Tensor) -> Tensor:
    """Sets a random rectangle of half the side to grey; it may lie partly outside."""
    count, _, height, width = images.shape
    hidden = _span(count, height, images.device)[:, :, None] & _span(count, width, images.device)[:, None, :]
    return images * ~hidden.unsqueeze(1)


def _span(count: int, side: int, device: torch.device) -> Tensor:
    """A mask (count, side) of one random interval per image, `CUTOUT` of the side long."""
    centre = torch.randint(0, side + 1, (count, 1), device=device)
    return (torch.arange(side, device=device) - centre).abs() < side * CUTOUT / 2


def color(images: Tensor) -> Tensor:
    """Changes brightness by -0.5 to 0.5, saturation by a factor of 0 to 2, contrast by a factor of 0.5 to 1.5."""
    brightness, saturation, contrast = torch.rand(3, len(images), 1, 1, 1, device=images.device)
    images = images + brightness - 0.5
    grey = images.mean(dim=1, keepdim=True)
    images = grey + (images - grey) * 2 * saturation
    level = images.mean(dim=(1, 2, 3), keepdim=True)
    return level + (images - level) * (contrast + 0.5)


POLICIES = {"translation": translate, "cutout": cutout, "color": color}
