"""Quantisers: from maps of features to maps of codes, and back.

A code is an integer below `num_codes`. Written with `levels` values per digit it is a tuple of digits, the first of
which changes fastest. Gradients pass through a quantiser as if it were smooth. All compute in float32.
"""

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genimg.distributed.data_parallel import all_reduce_sum, broadcast_tensors
from genimg.models.networks.frames import coarsest_map
from genimg.models.networks.shape import NetworkShape

MOST_CODES = 2**16
IDLE_AFTER = 100  # steps without use after which a code counts as unused


def to_digits(codes: Tensor, levels: Sequence[int]) -> Tensor:
    """Codes, int64 (...) -> digits, int64 (..., D); digit d is below levels[d]."""
    steps = [math.prod(levels[:place]) for place in range(len(levels))]
    return torch.stack([codes // step % count for step, count in zip(steps, levels, strict=True)], dim=-1)


def from_digits(digits: Tensor, levels: Sequence[int]) -> Tensor:
    """The inverse of `to_digits`."""
    steps = torch.tensor([math.prod(levels[:place]) for place in range(len(levels))], device=digits.device)
    return (digits * steps).sum(-1)


class Quantised(NamedTuple):
    """A quantised map.

    Attributes:
        features: (B, F, h, w), with gradients to the encoder.
        codes: int64 (B, h, w).
        vectors: what was quantised, (B h w, D), detached.
        penalty: what the quantiser adds to the loss, weighted, shape ().
    """

    features: Tensor
    codes: Tensor
    vectors: Tensor
    penalty: Tensor


#: An entry with a smaller moving count keeps its vector until it is replaced: its mean would be of rounding errors.
_FORGOTTEN = 1e-6


class Quantiser(nn.Module):
    """Projects features to vectors of D values, quantises them, and projects the results back.

    Args:
        shape: the image, whose coarsest map has F channels.
        dim: D.
        levels: values of each digit of a code.

    Raises:
        ValueError: if `levels` are out of range.
    """

    least: ClassVar[int] = 2  # levels of a digit

    idle: Tensor

    def __init__(self, shape: NetworkShape, dim: int, levels: Sequence[int]) -> None:
        super().__init__()
        if not levels or any(type(n) is not int or n < self.least for n in levels) or math.prod(levels) > MOST_CODES:
            expected = f"integers of {self.least} or more, whose product is at most {MOST_CODES:,}"
            raise ValueError(f"levels must be {expected}, got {list(levels)}")
        features = coarsest_map(shape)[0]
        self.levels, self.num_codes = tuple(levels), math.prod(levels)
        self.project_in = nn.Conv2d(features, dim, 1)
        self.project_out = nn.Conv2d(dim, features, 1)
        self.register_buffer("idle", torch.full((self.num_codes,), 2 * IDLE_AFTER - 1))  # steps since a code was used

    def forward(self, features: Tensor) -> Quantised:
        """Maps (B, F, h, w) -> their quantised maps. Changes nothing; a step of training also calls `update`."""
        with torch.autocast(features.device.type, enabled=False):
            maps = self.project_in(features.float())
            vectors = maps.movedim(1, -1)  # (B, D, h, w) -> (B, h, w, D)
            quantised, codes, penalty = self.quantise(vectors)
            out = self.project_out(quantised.movedim(-1, 1))
        return Quantised(out, codes, vectors.detach().flatten(0, 2), penalty)

    def decode(self, codes: Tensor) -> Tensor:
        """Codes, int64 (B, h, w) -> features (B, F, h, w)."""
        with torch.autocast(codes.device.type, enabled=False):
            return self.project_out(self.lookup(codes).movedim(-1, 1))

    @torch.no_grad()
    def update(self, quantised: Quantised) -> None:
        """Follows the codes of a batch, over all processes."""
        used = all_reduce_sum(self.counted(quantised.codes)) > 0
        self.idle.copy_(torch.where(used, 0, self.idle + 1))

    def counted(self, codes: Tensor) -> Tensor:
        """How often each code occurs, float32 (num_codes,)."""
        return torch.zeros_like(self.idle, dtype=torch.float32).index_add_(
            0, codes.flatten(), torch.ones_like(codes.flatten(), dtype=torch.float32)
        )

    def codes_used(self) -> Tensor:
        """The share of the codes that occurred in the last `IDLE_AFTER` steps."""
        return (self.idle < IDLE_AFTER).float().mean()

    @abstractmethod
    def quantise(self, vectors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Vectors (..., D), float32 -> quantised vectors with gradients, codes (...), and the penalty."""

    @abstractmethod
    def lookup(self, codes: Tensor) -> Tensor:
        """Codes (...) -> their vectors (..., D)."""


class FSQ(Quantiser):
    """Finite scalar quantisation: each of D values is bounded and rounded to one of its levels.

    Mentzer et al. 2023, "Finite scalar quantization: VQ-VAE made simple", section 3.1 and the listing of its appendix,
    https://arxiv.org/abs/2309.15505. Nothing is learned besides the projections, and nearly all codes are used.

    Args:
        shape: as for `Quantiser`.
        levels: of each value, 3 or more; 2^8 codes are [8,6,5], 2^10 codes [8,5,5,5] (section 4.1 of the paper).
    """

    least = 3  # the bound of two levels is saturated at 0, so that nothing would be learned
    _EDGE = 1e-3  # by which the outermost levels are wider than their rounding, so that they are reached

    def __init__(self, shape: NetworkShape, levels: Sequence[int]) -> None:
        super().__init__(shape, len(levels), levels)
        self.register_buffer("_levels", torch.tensor(list(levels), dtype=torch.float32), persistent=False)

    _levels: Tensor

    def quantise(self, vectors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See the base class. The gradient of the rounding is that of the identity."""
        bounded = self._bounded(vectors)
        rounded = bounded + (bounded.round() - bounded).detach()
        half = self._levels // 2
        digits = (bounded.detach().round() + half).long()
        return rounded / half, from_digits(digits, self.levels), vectors.new_zeros(())

    def lookup(self, codes: Tensor) -> Tensor:
        half = self._levels // 2
        return (to_digits(codes, self.levels) - half) / half

    def _bounded(self, vectors: Tensor) -> Tensor:
        """Values between the levels -(L // 2) and (L - 1) // 2. An even L has one more level below 0 than above."""
        reach = (self._levels - 1) * (1 + self._EDGE) / 2
        offset = 0.5 * (self._levels % 2 == 0)
        return torch.tanh(vectors + torch.atanh(offset / reach)) * reach - offset


class VQ(Quantiser):
    """Vector quantisation: each vector becomes the nearest one of a codebook, which follows the vectors.

    The codebook is a moving average of the vectors that are nearest to each entry (van den Oord et al. 2017, "Neural
    discrete representation learning", appendix A.1, https://arxiv.org/abs/1711.00937). An entry that no vector has used
    for `IDLE_AFTER` - 1 steps is replaced by a vector of the batch. All processes have the same codebook.

    Gradients pass by the rotation and scaling that turn a vector into its entry, taken as constant (Fifty et al. 2024,
    "Restructuring vector quantization with the rotation trick", section 4.2, https://arxiv.org/abs/2410.06424).

    Args:
        shape: as for `Quantiser`.
        dim: length of an entry.
        levels: [K], the number of entries.
        commitment: weight of the squared distance of vectors to their entries in the loss (van den Oord et al. 2017,
            eq. 3).
        decay: of the moving average.
    """

    codebook: Tensor
    counts: Tensor
    sums: Tensor

    def __init__(self, shape: NetworkShape, dim: int, levels: Sequence[int], commitment: float, decay: float) -> None:
        super().__init__(shape, dim, levels)
        self.commitment, self.decay = commitment, decay
        self.register_buffer("codebook", torch.randn(self.num_codes, dim))  # replaced by vectors of the first batch
        self.register_buffer("counts", torch.ones(self.num_codes))
        self.register_buffer("sums", self.codebook.clone())

    def quantise(self, vectors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        flat = vectors.flatten(0, -2)
        with torch.no_grad():
            distances = self.codebook.square().sum(1) - 2 * flat @ self.codebook.T  # up to |vector|^2
            codes = distances.argmin(1)
        entries = self.codebook[codes]
        penalty = self.commitment * (flat - entries).square().mean()
        return rotated(flat, entries).view_as(vectors), codes.view(vectors.shape[:-1]), penalty

    def lookup(self, codes: Tensor) -> Tensor:
        return self.codebook[codes]

    @torch.no_grad()
    def update(self, quantised: Quantised) -> None:
        """Moves the entries, and replaces unused ones; in the first step all of them."""
        unused = (self.idle + 1) % IDLE_AFTER == 0  # once in so many steps, so that a new one has time to be used
        super().update(quantised)
        vectors, codes = quantised.vectors, quantised.codes.flatten()
        counts = all_reduce_sum(self.counted(codes))
        sums = all_reduce_sum(torch.zeros_like(self.sums).index_add_(0, codes, vectors))
        self.counts.lerp_(counts, 1 - self.decay)
        self.sums.lerp_(sums, 1 - self.decay)
        fresh = vectors[torch.randint(len(vectors), (self.num_codes,), device=vectors.device)]
        broadcast_tensors([fresh])
        self.counts.copy_(torch.where(unused, 1.0, self.counts))
        self.sums.copy_(torch.where(unused[:, None], fresh, self.sums))
        used = self.counts > _FORGOTTEN
        self.codebook.copy_(
            torch.where(used[:, None], self.sums / self.counts[:, None].clamp_min(_FORGOTTEN), self.codebook)
        )


def rotated(vectors: Tensor, targets: Tensor) -> Tensor:
    """The targets (N, D), as constant rotations and scalings of the vectors (N, D).

    Fifty et al. 2024, section 4.2: with e and q of length 1 and r = (e + q) / |e + q|, the rotation is I - 2 r r^T +
    2 q e^T, and the scale |target| / |vector|.
    """
    with torch.no_grad():
        e, q = F.normalize(vectors, dim=1), F.normalize(targets, dim=1)
        r = F.normalize(e + q, dim=1)
        scale = targets.norm(dim=1, keepdim=True) / vectors.norm(dim=1, keepdim=True).clamp_min(1e-6)

    def along(x: Tensor, axis: Tensor) -> Tensor:
        return (x * axis).sum(1, keepdim=True)

    return scale * (vectors - 2 * along(vectors, r) * r + 2 * along(vectors, e) * q)
