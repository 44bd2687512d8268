"""A counter-based random generator: each number is a hash of where it is used, independent of earlier numbers.

The finaliser is that of SplitMix64 (Steele, Lea & Flood 2014, "Fast splittable pseudorandom number generators"), in
int64 arithmetic with wrap-around, so it runs on tensors and on any device.
"""

from collections.abc import Sequence
from enum import IntEnum
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor


class Use(IntEnum):
    """The use of a random number: the first word of its hash, so that two uses never share numbers."""

    ORDER = 1
    FLIP = 2
    DRAW = 3
    VALIDATION = 4
    TEST = 5
    CLIP = 6
    PROCESS = 7
    SAMPLE = 8
    LIMIT = 9


def _signed(word: int) -> int:
    """Returns the low 64 bits of `word` as int64."""
    word &= (1 << 64) - 1
    return word - (1 << 64) if word >= 1 << 63 else word


_GOLDEN = _signed(0x9E3779B97F4A7C15)
_FIRST = _signed(0xBF58476D1CE4E5B9)
_SECOND = _signed(0x94D049BB133111EB)


def _shift(x: Any, bits: int) -> Any:
    """Logical right shift; `>>` alone extends the sign."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def _cut(x: Any) -> Any:
    """Cuts an integer to 64 bits, as the arithmetic of int64 tensors does."""
    return _signed(x) if isinstance(x, int) else x


def _mix(x: Any) -> Any:
    x = _cut((x ^ _shift(x, 30)) * _FIRST)
    x = _cut((x ^ _shift(x, 27)) * _SECOND)
    return x ^ _shift(x, 31)


def hash_words(*words: Tensor | int) -> Tensor:
    """Returns the int64 hash of the words, in their broadcast shape; its bits are nearly uniform and independent."""
    return torch.as_tensor(_hash(words))


def _hash(words: Sequence[Tensor | int]) -> Any:
    """Returns an integer, or a tensor from the first tensor on. Leading integers are the fastest."""
    state: Any = 0
    for word in words:
        state = _mix(_cut(_cut(state * _GOLDEN + _GOLDEN) + _cut(word)))
    return state


@lru_cache(maxsize=1024)  # a pass computes its key for each batch
def hash_int(*words: int) -> int:
    """Returns `hash_words` of integers as an integer, for example the seed of a generator.

    Every bit depends on every word. A generator may ignore some bits of its seed: torch's on the CPU reads the low 32.
    """
    return _hash(words)


def to_uniform(hashed: Tensor) -> Tensor:
    """Returns float64 inside (0, 1), from the top 52 bits of int64 hashes; the shape is kept."""
    return (_shift(hashed, 12).double() + 0.5) * 2.0**-52


def uniform(*words: Tensor | int) -> Tensor:
    """Returns float64 inside (0, 1), a function of the words."""
    return to_uniform(hash_words(*words))
