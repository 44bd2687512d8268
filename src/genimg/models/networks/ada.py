"""The operations of adaptive discriminator augmentation (ADA; Karras et al. 2020, https://arxiv.org/abs/2006.06676).

Each operation is applied to an image with probability p. Below about 0.8, images without it remain the most frequent
ones, so that the generator has to learn the distribution of the images without it: the operations do not leak into the
samples (section 2.2 and appendix C there). Strengths are those of appendix B, figure 16.

All geometric operations of an image are one affine map, and the image is sampled once; so are all changes of colour.
The sampling is bilinear and mirrors the image at its border. The paper samples through a wavelet filter at twice the
resolution, which blurs less and has no aliasing where an image is reduced.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

SHIFT = 0.125  # standard deviation, and range of a shift by whole pixels, as a fraction of the side
SCALE = 0.2  # standard deviation of the binary logarithm of a scale
BRIGHTNESS = 0.2  # standard deviation, in units of [-1, 1]
CONTRAST = 0.5  # standard deviation of the binary logarithm
SATURATION = 1.0  # likewise
LUMA = 3**-0.5  # each component of the unit vector of grey


@dataclass(frozen=True)
class Draw:
    """Random parameters of operations for each of `count` images, (count,), on the device of p.

    p: the probability of an operation, a tensor without axes, so that a step does not wait for the device.
    """

    count: int
    p: Tensor

    def uniform(self, *most: float) -> tuple[Tensor, ...]:
        """Values from -most to most of one operation, with probability p; else 0."""
        return self._sometimes([bound * self._between() for bound in most], self.p)

    def normal(self, *std: float) -> tuple[Tensor, ...]:
        """Normal values of mean 0 of one operation, with probability p; else 0."""
        return self._sometimes([one * torch.randn(self.count, device=self.p.device) for one in std], self.p)

    def below(self, limit: int) -> Tensor:
        """Whole numbers from 0 to limit - 1, float32, with probability p; else 0."""
        numbers = torch.randint(limit, (self.count,), device=self.p.device).float()
        return self._sometimes([numbers], self.p)[0]

    def angle(self) -> Tensor:
        """Radians from -pi to pi, with probability 1 - sqrt(1 - p); else 0. Two rotations have probability p."""
        return self._sometimes([math.pi * self._between()], 1 - (1 - self.p).sqrt())[0]

    def _between(self) -> Tensor:
        return 2 * torch.rand(self.count, device=self.p.device) - 1

    def _sometimes(self, values: Sequence[Tensor], probability: Tensor) -> tuple[Tensor, ...]:
        applied = torch.rand(self.count, device=self.p.device) < probability
        return tuple(torch.where(applied, value, 0.0) for value in values)


def blit(draw: Draw, height: int, width: int) -> Tensor:
    """Mirroring, quarter turns and shifts by whole pixels, as maps from places in the result to places in the image.

    Returns:
        Affine maps (count, 3, 3) of (x, y, 1) in pixels from the centre.
    """
    mirrored = 1 - 2 * draw.below(2)
    turns = draw.below(4)
    x, y = draw.uniform(SHIFT * width, SHIFT * height)
    return product(_scale(mirrored, torch.ones_like(mirrored)), _quarter(turns), _shift(x.round(), y.round()))


def geometry(draw: Draw, height: int, width: int) -> Tensor:
    """Isotropic scaling, rotation, anisotropic scaling, rotation and fractional shift; as `blit`."""
    size, stretch = (torch.exp2(draw.normal(SCALE)[0]) for _ in range(2))
    before, after = _rotation(draw.angle()), _rotation(draw.angle())
    x, y = draw.normal(SHIFT * width, SHIFT * height)
    return product(_scale(size, size), before, _scale(stretch, 1 / stretch), after, _shift(x, y))


def warp(images: Tensor, maps: Tensor) -> Tensor:
    """Samples images (B, C, H, W) at the places that the maps (B, 3, 3) give. The identity changes no bit."""
    height, width = images.shape[2:]
    # filled on the device: a copy from the host cannot be captured as a graph
    to_pixels = torch.stack([maps.new_full((), length) for length in (width / 2, height / 2, 1.0)])
    theta = (maps * to_pixels / to_pixels[:, None])[:, :2]  # affine_grid's places are from -1 to 1
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    moved = F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)
    return torch.where(_is_identity(maps), images, moved)


def recolor(draw: Draw, channels: int) -> Tensor:
    """Brightness, contrast, inverted luma, hue and saturation as affine maps (count, 4, 4) of (r, g, b, 1).

    Hue and saturation have no effect on grey images (1 channel), and are left out.
    """
    (brightness,), contrast = draw.normal(BRIGHTNESS), torch.exp2(draw.normal(CONTRAST)[0])
    luma = 1 - 2 * draw.below(2)
    one = torch.ones_like(luma)
    maps = product(_along_grey(luma, one), _along_grey(contrast, contrast), _brighten(brightness))
    if channels == 1:
        return maps
    (hue,), saturation = draw.uniform(math.pi), torch.exp2(draw.normal(SATURATION)[0])
    return product(_along_grey(one, saturation), _turn_hue(hue), maps)


def change_color(images: Tensor, maps: Tensor) -> Tensor:
    """Applies colour maps (B, 4, 4) to images (B, 1 or 3, H, W). The identity changes no bit."""
    if images.shape[1] == 1:  # grey is the mean of the three equal channels
        factor, offset = maps[:, :3, :3].sum((1, 2)) / 3, maps[:, :3, 3].mean(1)
        changed = images * factor.view(-1, 1, 1, 1) + offset.view(-1, 1, 1, 1)
    else:
        columns = maps[:, :3, :, None, None].unbind(2)  # (B, 3, 1, 1) each
        red, green, blue = images.split(1, dim=1)
        changed = columns[0] * red + columns[1] * green + columns[2] * blue + columns[3]
    return torch.where(_is_identity(maps), images, changed)


def product(*maps: Tensor) -> Tensor:
    """The matrix product of maps (B, N, N), from left to right, in float32: a GPU's `@` may round to TF32."""
    result = maps[0]
    for other in maps[1:]:
        result = (result.unsqueeze(-1) * other.unsqueeze(-3)).sum(-2)
    return result


def _is_identity(maps: Tensor) -> Tensor:
    """(B, 1, 1, 1). Exact: the parameters of an operation that is not applied are 0."""
    return (maps == torch.eye(maps.shape[1], device=maps.device)).all(2).all(1).view(-1, 1, 1, 1)


def _matrix(rows: Sequence[Sequence[Tensor | float]]) -> Tensor:
    """(B, N, N) from N rows of N entries, each (B,) or a number."""
    like = next(entry for row in rows for entry in row if isinstance(entry, Tensor))
    entries = [e if isinstance(e, Tensor) else torch.full_like(like, e) for row in rows for e in row]
    return torch.stack(entries, dim=1).view(-1, len(rows), len(rows))


def _scale(x: Tensor, y: Tensor) -> Tensor:
    return _matrix([[x, 0.0, 0.0], [0.0, y, 0.0], [0.0, 0.0, 1.0]])


def _shift(x: Tensor, y: Tensor) -> Tensor:
    return _matrix([[1.0, 0.0, x], [0.0, 1.0, y], [0.0, 0.0, 1.0]])


def _rotation(angle: Tensor) -> Tensor:
    sine, cosine = angle.sin(), angle.cos()
    return _matrix([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]])


def _quarter(turns: Tensor) -> Tensor:
    """Rotations by whole quarters, without rounding errors."""
    return _rotation(turns * (math.pi / 2)).round()


def _along_grey(along: Tensor, across: Tensor) -> Tensor:
    """Scales the grey part of a colour by `along`, and the rest by `across`."""
    mean = (along - across) / 3
    same = mean + across
    return _matrix([[same, mean, mean, 0.0], [mean, same, mean, 0.0], [mean, mean, same, 0.0], [0.0, 0.0, 0.0, 1.0]])


def _brighten(amount: Tensor) -> Tensor:
    return _matrix([[1.0, 0.0, 0.0, amount], [0.0, 1.0, 0.0, amount], [0.0, 0.0, 1.0, amount], [0.0, 0.0, 0.0, 1.0]])


def _turn_hue(angle: Tensor) -> Tensor:
    """Rotations about the grey axis (Rodrigues' formula)."""
    sine, cosine = angle.sin() * LUMA, angle.cos()
    mean = (1 - cosine) / 3
    same, up, down = mean + cosine, mean + sine, mean - sine
    return _matrix([[same, down, up, 0.0], [up, same, down, 0.0], [down, up, same, 0.0], [0.0, 0.0, 0.0, 1.0]])
