"""DiffAugment: shift, cutout and colour changes of every image (Zhao et al. 2020, https://arxiv.org/abs/2006.10738).

`images` (B, C, H, W) in [-1, 1] are `copies` sets of equal size. Image i of each set gets the same draw.
"""

import torch
from torch import Tensor

SHIFT = 0.125  # maximum shift, as a fraction of the side
CUTOUT = 0.5  # side of the rectangle, as a fraction of the side


def translate(images: Tensor, copies: int = 1) -> Tensor:
    """Shifts by up to an eighth of the side; the border is extended."""
    count, channels, height, width = images.shape
    rows = _shifted(count // copies, height, images.device).repeat(copies, 1)
    columns = _shifted(count // copies, width, images.device).repeat(copies, 1)
    images = images.gather(2, rows.view(count, 1, height, 1).expand(-1, channels, -1, width))
    return images.gather(3, columns.view(count, 1, 1, width).expand(-1, channels, height, -1))


def _shifted(count: int, side: int, device: torch.device) -> Tensor:
    """Indices (count, side) of one random shift per image."""
    most = round(side * SHIFT)
    shift = torch.randint(-most, most + 1, (count, 1), device=device)
    return (torch.arange(side, device=device) + shift).clamp(0, side - 1)


def cutout(images: Tensor, copies: int = 1) -> Tensor:
    """Sets a random rectangle of half the side to grey; it may lie partly outside."""
    return images * ~hidden(images, copies).repeat(copies, 1, 1, 1)


def hidden(images: Tensor, copies: int = 1) -> Tensor:
    """A mask (B / copies, 1, H, W) of one random rectangle per image, half as high and wide as the image."""
    count, height, width = len(images) // copies, *images.shape[2:]
    rows, columns = _span(count, height, images.device), _span(count, width, images.device)
    return rows[:, None, :, None] & columns[:, None, None, :]


def _span(count: int, side: int, device: torch.device) -> Tensor:
    """A mask (count, side) of one random interval per image, `CUTOUT` of the side long."""
    centre = torch.randint(0, side + 1, (count, 1), device=device)
    return (torch.arange(side, device=device) - centre).abs() < side * CUTOUT / 2


def color(images: Tensor, copies: int = 1) -> Tensor:
    """Changes brightness by -0.5 to 0.5, saturation by a factor of 0 to 2, contrast by a factor of 0.5 to 1.5."""
    drawn = torch.rand(3, len(images) // copies, 1, 1, 1, device=images.device)
    brightness, saturation, contrast = drawn.repeat(1, copies, 1, 1, 1)
    images = images + brightness - 0.5
    grey = images.mean(dim=1, keepdim=True)
    images = grey + (images - grey) * 2 * saturation
    level = images.mean(dim=(1, 2, 3), keepdim=True)
    return level + (images - level) * (contrast + 0.5)
