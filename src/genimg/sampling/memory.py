"""Compares the memory that samples need with the free memory, before they are drawn."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from genimg.common.hardware import available_memory, require_memory
from genimg.models.base import GenerativeModel
from genimg.models.memory import peak_memory

_FLOATS = 12  # bytes of a value that is kept: float32 in its chunk, in the whole, and before it is rounded to 8 bits


def check_chunk(
    model: GenerativeModel, draw: Callable[[Any], Tensor], copies: int, hint: str, available: int | None = None
) -> None:
    """Raises UserError if drawing one chunk on a CPU needs more than the free memory: an estimate, see `peak_memory`.

    A GPU reports itself that its memory is full.

    Args:
        draw: draws the chunk with the model that it is given, a copy without values.
        copies: of the chunk, which are kept beside it.
        available: bytes; None = the free memory of this machine.
    """
    if model.device.type != "cpu":
        return
    kept = 0

    def run(without_values: Any) -> None:
        nonlocal kept
        chunk = draw(without_values)
        kept = copies * chunk.numel() * chunk.element_size()

    needed = peak_memory(model, run)
    if needed is not None:
        available = available_memory() if available is None else available
        require_memory(needed + kept, available, "run", "samples that need about {} at once", hint)


def check_kept(key: str, count: int, shape: Sequence[int], hint: str, bytes_per_value: int = _FLOATS) -> None:
    """Raises UserError if `count` images of a shape, which are kept at the same time, exceed the free memory.

    key: of the setting that asks for so many.
    """
    needed = bytes_per_value * count * math.prod(shape)
    require_memory(needed, available_memory(), key, f"{count:,} images that need about {{}} at once", hint)
