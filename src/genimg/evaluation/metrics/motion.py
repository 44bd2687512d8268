"""How the content of clips moves: its speed, how even the speed is, and where it turns.

The position of a frame is the centroid of its intensity, so these metrics suit clips of one bright object on black.
"""

from typing import NamedTuple

import torch
from scipy.stats import wasserstein_distance
from torch import Tensor

_FOREGROUND = 0.1  # least intensity of a pixel of the object, relative to the brightest pixel of the clip
_EDGE = 1 / 8  # of the side of a frame: an object this near to an edge turns at the edge
_STILL = 0.25  # pixels per frame: a slower movement has no direction


class Motion(NamedTuple):
    """The motion in N clips of T frames.

    speed: of each step, pixels per frame, (N, T - 1).
    turned: whether the direction along each axis changes, (N, T - 2, 2).
    inside: whether it does so away from the edges, (N, T - 2, 2).
    """

    speed: Tensor
    turned: Tensor
    inside: Tensor

    @property
    def unevenness(self) -> Tensor:
        """Standard deviation of the speed within each clip, pixels per frame, (N,)."""
        return self.speed.std(dim=1, correction=0)

    @property
    def turns(self) -> float:
        """Changes of direction per clip."""
        return float(self.turned.sum() / len(self.turned))

    @property
    def turns_inside(self) -> float:
        """Share of the changes of direction that are not at an edge; 0 without any."""
        return float(self.inside.sum() / self.turned.sum().clamp_min(1))


def motion(clips: Tensor) -> Motion:
    """The motion in clips, uint8 (N, T, C, H, W)."""
    intensity = clips.double().mean(2)  # (N, T, H, W)
    sides = torch.tensor(intensity.shape[2:], dtype=torch.float64)
    profiles = [intensity.sum(3), intensity.sum(2)]  # along the rows and along the columns, (N, T, side) each
    position = torch.stack([_centroid(profile) for profile in profiles], dim=2)  # (N, T, 2)
    velocity = position.diff(dim=1)
    speed = velocity.norm(dim=2)  # (N, T - 1)
    before, after = velocity[:, :-1], velocity[:, 1:]
    turned = (before * after < 0) & (before.abs() > _STILL) & (after.abs() > _STILL)  # (N, T - 2, 2)
    shown = intensity > _FOREGROUND * intensity.amax((1, 2, 3), keepdim=True)
    gaps = torch.stack([_gap(shown.any(3)), _gap(shown.any(2))], dim=2)  # (N, T, 2)
    nearest = torch.minimum(torch.minimum(gaps[:, :-2], gaps[:, 1:-1]), gaps[:, 2:])
    return Motion(speed, turned, turned & (nearest > _EDGE * sides))


def distribution_distance(a: Tensor, b: Tensor) -> float:
    """The 1-Wasserstein distance of the distributions of two sets of values, in their unit."""
    return float(wasserstein_distance(a.flatten().numpy(), b.flatten().numpy()))


def _centroid(profile: Tensor) -> Tensor:
    """The mean place of intensity (..., side) in pixels: (...); the middle of an empty profile."""
    places = torch.arange(profile.shape[-1], dtype=profile.dtype)
    total = profile.sum(-1)
    return torch.where(total > 0, (profile * places).sum(-1) / total.clamp_min(1e-9), places.mean())


def _gap(shown: Tensor) -> Tensor:
    """Empty pixels between the object (..., side) and the nearer end of the side: (...)."""
    places = torch.arange(shown.shape[-1], dtype=torch.float64)
    middle = len(places) / 2
    return torch.where(shown, torch.minimum(places, len(places) - 1 - places), middle).amin(-1)
