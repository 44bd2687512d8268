"""Estimates the memory of a chunk of samples before it is drawn."""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from genimg.common.hardware import available_memory, require_memory
from genimg.models.base import GenerativeModel

_BESIDES = 3  # peak of the memory relative to the largest operation: at most 1.4 for a GAN or a VAE, 2.6 for an RNN


class LargestOperation(TorchDispatchMode):
    """Records the most bytes that the inputs and outputs of one operation take together."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        tensors = [leaf for leaf in tree_leaves((args, kwargs, result)) if isinstance(leaf, Tensor)]
        self.bytes = max(self.bytes, sum(tensor.numel() * tensor.element_size() for tensor in tensors))
        return result


def check_chunk(
    model: GenerativeModel, draw: Callable[[Any], Tensor], copies: int, hint: str, available: int | None = None
) -> None:
    """Raises UserError if drawing one chunk needs more than the free memory.

    The chunk is drawn with torch's fake tensors, which have shapes and no values, and allocate nothing. The estimate is
    three times the largest operation and `copies` of the result. A model whose shapes depend on values is not checked.

    Args:
        draw: draws the chunk with the model that it is given, a copy without values.
        available: bytes; None = the free memory of this machine.
    """
    available = available_memory() if available is None else available
    try:
        fake = FakeTensorMode(allow_non_fake_inputs=True)
        tensors = [*model.parameters(), *model.buffers()]
        without_values = copy.deepcopy(model, {id(tensor): fake.from_tensor(tensor) for tensor in tensors})
        with fake, LargestOperation() as largest, torch.no_grad():
            result = draw(without_values)
        needed = _BESIDES * largest.bytes + copies * result.numel() * result.element_size()
    except Exception:  # the model itself reports what it refuses, when it is used
        return
    require_memory(needed, available, "run", "samples that need about {} at once", hint)
