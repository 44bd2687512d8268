"""Differentiable augmentation of what a discriminator sees, so that few images are not learned by heart."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

SHIFT = 0.125  # of the side, at most
CUTOUT = 0.5  # of the side


class DiffAugment(nn.Module):
    """Shift, cutout and colour, drawn anew for every image, with gradients to the pixels (Zhao et al. 2020).

    Real and fake images must both go through it, in the discriminator's step and in the generator's.

    Args:
        policy: any of "translation", "cutout" and "color", in the order they are applied.
    """

    def __init__(self, policy: Sequence[str]) -> None:
        super().__init__()
        unknown = [name for name in policy if name not in POLICIES]
        if unknown:
            raise ValueError(f"policy must be among {', '.join(POLICIES)}, got {unknown[0]!r}")
        self.policy = tuple(policy)

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, W) in [-1, 1], shape kept."""
        for name in self.policy:
            images = POLICIES[name](images)
        return images


def translate(images: Tensor) -> Tensor:
    """Shift by up to an eighth of the side each way; the border's pixels fill what comes free."""
    count, channels, height, width = images.shape
    rows = _shifted(count, height, images.device)
    columns = _shifted(count, width, images.device)
    images = images.gather(2, rows.view(count, 1, height, 1).expand(-1, channels, -1, width))
    return images.gather(3, columns.view(count, 1, 1, width).expand(-1, channels, height, -1))


def _shifted(count: int, side: int, device: torch.device) -> Tensor:
    """Indices (count, side) of a shift drawn for each image."""
    most = round(side * SHIFT)
    shift = torch.randint(-most, most + 1, (count, 1), device=device)
    return (torch.arange(side, device=device) + shift).clamp(0, side - 1)


def cutout(images: Tensor) -> Tensor:
    """A rectangle of half the side, set to grey, anywhere, also partly outside."""
    count, _, height, width = images.shape
    hidden = _span(count, height, images.device)[:, :, None] & _span(count, width, images.device)[:, None, :]
    return images * ~hidden.unsqueeze(1)


def _span(count: int, side: int, device: torch.device) -> Tensor:
    """Which places (count, side) lie in an interval of CUTOUT of the side, drawn for each image."""
    centre = torch.randint(0, side + 1, (count, 1), device=device)
    return (torch.arange(side, device=device) - centre).abs() < side * CUTOUT / 2


def color(images: Tensor) -> Tensor:
    """Brightness by up to 0.5 either way, saturation 0 to 2, contrast 0.5 to 1.5."""
    brightness, saturation, contrast = torch.rand(3, len(images), 1, 1, 1, device=images.device)
    images = images + brightness - 0.5
    grey = images.mean(dim=1, keepdim=True)
    images = grey + (images - grey) * 2 * saturation
    level = images.mean(dim=(1, 2, 3), keepdim=True)
    return level + (images - level) * (contrast + 0.5)


POLICIES = {"translation": translate, "cutout": cutout, "color": color}
