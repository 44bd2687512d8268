"""Records steps on a CPU, as a CUDA graph does on a GPU: numbers of the host keep the value they were recorded with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from genimg.training.capture import Metrics, Recording


class Tape(TorchDispatchMode):
    """Keeps the operations of a step, which is run meanwhile, and repeats them on the same tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.operations: list[tuple[Any, Any, Any, Any]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self.operations.append((func, args, kwargs or {}, result))
        return result

    @torch.no_grad()
    def repeat(self) -> dict[int, Tensor]:
        """The tensors that now stand for the recorded ones, by their ids."""
        now: dict[int, Tensor] = {}

        def current(value: Any) -> Any:
            return now.get(id(value), value) if isinstance(value, Tensor) else value

        with torch.autocast("cpu", enabled=False):
            for func, args, kwargs, result in self.operations:
                new = func(*tree_map(current, args), **tree_map(current, kwargs))
                now.update((id(a), b) for a, b in zip(tree_leaves(result), tree_leaves(new), strict=True))
        return now


def record(step: Callable[[], Metrics]) -> Recording:
    """Records a step on a new tape."""
    with Tape() as tape:
        recorded = step()
    metrics = {name: value.clone() for name, value in recorded.items()}

    def repeat() -> None:
        now = tape.repeat()
        for name, value in recorded.items():
            metrics[name].copy_(now[id(value)])

    return Recording(repeat, metrics)
