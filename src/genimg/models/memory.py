"""Estimates the memory of operations on a model before they are done."""

import copy
import weakref
from collections.abc import Callable
from typing import Any

import torch
from pytorch_lightning.utilities.seed import isolate_rng
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from genimg.models.base import GenerativeModel


class PeakMemory(TorchDispatchMode):
    """Records the most bytes that the tensors made in it take at one time.

    What an operation uses internally, and what the allocator keeps, are not counted: training steps of the packaged
    models took 1.2 to 2.2 times as much.
    """

    def __init__(self) -> None:
        super().__init__()
        self.bytes = self._alive = 0
        self._seen: weakref.WeakSet[torch.UntypedStorage] = weakref.WeakSet()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        self._seen.update(_storages((args, kwargs)))
        for storage in _storages(result):
            if storage not in self._seen:  # a view has the storage of its argument
                self._seen.add(storage)
                self._alive += storage.nbytes()
                weakref.finalize(storage, self._release, storage.nbytes())
        self.bytes = max(self.bytes, self._alive)
        return result

    def _release(self, size: int) -> None:
        self._alive -= size


def peak_memory(model: GenerativeModel, run: Callable[[Any], Any]) -> int | None:
    """Returns the bytes that `run` takes beyond the model, which is not changed, or None if they cannot be estimated.

    `run` gets a copy of the model made of torch's fake tensors, which have shapes and no values, and allocate nothing.
    A model whose shapes depend on values cannot be estimated.
    """
    fake = FakeTensorMode(allow_non_fake_inputs=True)
    try:
        without_values = _without_values(model, fake)
        with isolate_rng(include_cuda=False), fake, PeakMemory() as peak:
            run(without_values)
    except Exception:  # the model itself reports what it refuses, when it is used
        return None
    return peak.bytes


def _without_values(model: GenerativeModel, fake: FakeTensorMode) -> GenerativeModel:
    memo: dict[int, Any] = {id(buffer): fake.from_tensor(buffer) for buffer in model.buffers()}
    memo |= {id(one): nn.Parameter(fake.from_tensor(one.detach()), one.requires_grad) for one in model.parameters()}
    return copy.deepcopy(model, memo)


def _storages(tree: Any) -> set[torch.UntypedStorage]:
    return {leaf.untyped_storage() for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)}
