"""A counter-based random generator: each number is a hash of where it is used, independent of earlier numbers.

The finaliser is that of SplitMix64 (Steele, Lea & Flood 2014, "Fast splittable pseudorandom number generators"), in
int64 arithmetic with wrap-around, so it runs on tensors and on any device.
"""

from enum import IntEnum
from functools import lru_cache

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


def _signed(word: int) -> int:
    """Returns the low 64 bits of `word` as int64."""
    word &= (1 << 64) - 1
    return word - (1 << 64) if word >= 1 << 63 else word


_GOLDEN = _signed(0x9E3779B97F4A7C15)
_FIRST = _signed(0xBF58476D1CE4E5B9)
_SECOND = _signed(0x94D049BB133111EB)


def _shift(x: Tensor, bits: int) -> Tensor:
    """Logical right shift; `>>` alone extends the sign."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def _mix(x: Tensor) -> Tensor:
    x = (x ^ _shift(x, 30)) * _FIRST
    x = (x ^ _shift(x, 27)) * _SECOND
    return x ^ _shift(x, 31)


def hash_words(*words: Tensor | int) -> Tensor:
    """Returns the int64 hash of the words, in their broadcast shape; its bits are nearly uniform and independent."""
    state = torch.zeros((), dtype=torch.int64)
    for word in words:
        if isinstance(word, Tensor):
            state = state.to(word.device, non_blocking=True)  # without waiting for a GPU
        addend = word if isinstance(word, Tensor) else _signed(word)
        state = _mix(state * _GOLDEN + addend + _GOLDEN)
    return state


@lru_cache(maxsize=1024)  # a pass computes its key for each batch
def hash_int(*words: int) -> int:
    """Returns `hash_words` of integers as an integer, for example the seed of a generator."""
    return int(hash_words(*words))


def uniform(*words: Tensor | int) -> Tensor:
    """Returns float64 in [0, 1), from the top 53 bits of `hash_words(*words)`."""
    return _shift(hash_words(*words), 11).double() * 2.0**-53
