"""Directions in the space of styles, by name: `pca0`, `sefa0`, or a class."""

import re
from collections.abc import Mapping, Sequence
from functools import cached_property

import torch
from torch import Tensor

from genimg.common.errors import UserError
from genimg.common.noise import Noise
from genimg.models.base import HasStyles
from genimg.sampling.inputs import class_numbers
from genimg.sampling.styles import MeanStyles

STRENGTHS = (-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0)  # columns of a sheet of sliders
_LONGEST = 4096  # style, whose components take a minute; StyleGAN's have 512 numbers
_PAIRS = 4096  # of styles, from which their covariance is estimated
_AT_ONCE = 256


class Directions:
    """Directions in the space of styles as vectors (W,), which a strength multiplies.

    - `pcaN`: principal component N of the styles of one class (Härkönen et al. 2020, "GANSpace", section 2.1).
    - `sefaN`: eigenvector N of A^T A, where A are the weights of all layers that read a style, each row of length 1
      (Shen & Zhou 2021, "Closed-form factorization of latent semantics in GANs", eq. 5).
    - a class: from the mean style of all classes to that of the class.

    The length of an eigenvector is the standard deviation of the styles of one class along it, and its sign makes its
    largest number positive. N = 0 has the largest eigenvalue.

    Args:
        model: has a mapping network.
        means: the mean styles of the classes.
        classes: names of the labels; empty for an unconditional model.
        device: of the model.
    """

    def __init__(self, model: HasStyles, means: MeanStyles, classes: Sequence[str], device: torch.device) -> None:
        self.model, self.means, self.classes, self.device = model, means, classes, device

    def names(self, given: Sequence[str | int]) -> list[str]:
        """Returns the names with their ranges: `pca0-2` stands for pca0, pca1 and pca2."""
        found: list[str] = []
        for name in map(str, given):
            ends = re.fullmatch(r"(pca|sefa)(\d{1,6})-(\d{1,6})", name, re.ASCII)
            found += [name] if ends is None else [f"{ends[1]}{n}" for n in range(int(ends[2]), int(ends[3]) + 1)]
        return found

    @torch.no_grad()
    def shift(self, strengths: Mapping[str | int, float], key: str) -> Tensor:
        """The sum (W,) of the directions, each times its strength.

        Raises:
            UserError: for an unknown direction; `key` is the user's name for the directions.
        """
        total = torch.zeros(len(self._mean), device=self.device)
        for name, strength in strengths.items():
            total = total + strength * self._vector(str(name), key)
        return total

    def _vector(self, name: str, key: str) -> Tensor:
        """The direction (W,) of a name."""
        found = re.fullmatch(r"(pca|sefa)(\d{1,6})", name, re.ASCII)
        last = len(self._mean) - 1
        if found is not None and int(found[2]) <= last:
            vectors = self._components if found[1] == "pca" else self._factors
            vector = vectors[int(found[2])]
            return (vector @ self._covariance @ vector).clamp(min=0).sqrt() * vector
        expected = f"pca0 to pca{last}, sefa0 to sefa{last}" + (", or a class" if self.classes else "")
        if not self.classes or found is not None:
            raise UserError(key, name, expected)
        try:
            (label,) = class_numbers(name, self.classes)
        except UserError as error:
            raise UserError(key, name, expected, error.hint) from error
        return self.means.of(torch.tensor([label]))[0] - self._mean

    @cached_property
    def _statistics(self) -> tuple[Tensor, Tensor]:
        """The mean (W,) of the styles over the classes, and the covariance (W, W) of the styles of one class.

        Half the mean square of the difference of two styles of one class is their variance, so no mean is needed.
        """
        length = self.model.style_weights().shape[1]
        if length > _LONGEST:
            raise UserError("directions", f"a style of {length:,} numbers", f"at most {_LONGEST:,}")
        total, squares = torch.zeros((), device=self.device), torch.zeros((), device=self.device)
        for begin in range(0, 2 * _PAIRS, 2 * _AT_ONCE):
            indices = torch.arange(begin, begin + 2 * _AT_ONCE)
            z = Noise(0, indices, self.device).normal(self.model.latent_dim)
            labels = (indices // 2 % len(self.classes)).to(self.device) if self.classes else None
            w = self.model.style(z, labels).float()
            total = total + w.sum(0)
            differences = w[0::2] - w[1::2]
            squares = squares + differences.mT @ differences
        return total / (2 * _PAIRS), squares / (2 * _PAIRS)

    @property
    def _mean(self) -> Tensor:
        return self._statistics[0]

    @property
    def _covariance(self) -> Tensor:
        return self._statistics[1]

    @cached_property
    def _components(self) -> Tensor:
        return _eigenvectors(self._covariance)

    @cached_property
    def _factors(self) -> Tensor:
        rows = torch.nn.functional.normalize(self.model.style_weights().float(), dim=1)
        return _eigenvectors(rows.mT @ rows)


def _eigenvectors(matrix: Tensor) -> Tensor:
    """The eigenvectors of a symmetric (W, W) as rows, the largest eigenvalue first."""
    vectors = torch.linalg.eigh(matrix.double()).eigenvectors.mT.flip(0)
    largest = vectors.gather(1, vectors.abs().argmax(1, keepdim=True))
    return (vectors * largest.sign()).to(matrix.dtype)
