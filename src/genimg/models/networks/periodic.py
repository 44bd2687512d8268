"""Maps on a torus, for images that repeat without a seam (`model.padding=circular`).

A map of (h, w) stands for its periodic continuation, x[i + h, j + w] = x[i, j]. Layers that act on each pixel alone
keep that property. Convolutions and enlargements keep it if they read the opposite border in the place of zeros: a
shift of the torus before the layer is then the same shift, times the scale of the layer, after it.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from genimg.models.networks.shape import NetworkShape

Padding = Literal["zeros", "circular"]

#: What the convolutions of a generator read outside its maps, the names that `model.padding` takes: zeros, or the
#: opposite border. torch's convolutions have the same names.
PADDINGS = ("zeros", "circular")


def is_circular(padding: Padding, shape: NetworkShape) -> bool:
    """Whether the maps of a generator wrap around.

    Raises:
        ValueError: for a name that is not in `PADDINGS`, or a shape whose maps do not double exactly: leaving out the
            last line of a map, as odd sizes do, would be a seam.
    """
    if padding not in PADDINGS:
        raise ValueError(f"padding must be one of {', '.join(PADDINGS)}, got {padding!r}")
    factor = 2 ** (len(shape.resolutions()) - 1)
    if padding == "circular" and any(side % factor for side in shape.height_width):
        height, width = shape.height_width
        raise ValueError(f"circular padding needs sides that are multiples of {factor}, got {height} x {width}")
    return padding == "circular"


def wrap(x: Tensor, lines: int = 1) -> Tensor:
    """(B, C, h, w) -> (B, C, h + 2 lines, w + 2 lines), with lines of the opposite border on each side."""
    return F.pad(x, (lines, lines, lines, lines), mode="circular")


def enlarge_bilinear(x: Tensor, size: tuple[int, int], circular: bool) -> Tensor:
    """(B, C, h, w) -> (B, C, *size). Outside the map the nearest border counts, or the opposite one if `circular`.

    size: if `circular`, h and w times the same integer.
    """
    if not circular:
        return F.interpolate(x, size=size, mode="bilinear", align_corners=False)
    lines = size[0] // x.shape[2]  # of the result, per line of x
    y = F.interpolate(wrap(x), size=(size[0] + 2 * lines, size[1] + 2 * lines), mode="bilinear", align_corners=False)
    return y[..., lines:-lines, lines:-lines]


def roll_randomly(images: Tensor) -> Tensor:
    """Images (B, C, H, W), each shifted on its torus by a random number of rows and of columns."""
    count, channels, height, width = images.shape
    rows, columns = _rolled(count, height, images.device), _rolled(count, width, images.device)
    images = images.gather(2, rows.view(count, 1, height, 1).expand(-1, channels, -1, width))
    return images.gather(3, columns.view(count, 1, 1, width).expand(-1, channels, height, -1))


def _rolled(count: int, side: int, device: torch.device) -> Tensor:
    """Indices (count, side) of one random shift per image."""
    shift = torch.randint(side, (count, 1), device=device)
    return (torch.arange(side, device=device) + shift) % side
