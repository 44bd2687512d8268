"""Steps that split their batch, so that their memory is that of a part: gradients of the parts add up."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from genimg.models.base import Batch


@runtime_checkable
class SplitsBatches(Protocol):
    """A model that takes its own optimizer steps, and splits a batch into `parts` of equal size within a step."""

    parts: int


def split_batch(batch: Batch, parts: int) -> list[Batch]:
    """The parts of a batch of B items, each of B / `parts`; what is not a tensor of B rows is in all of them."""
    if parts == 1:
        return [batch]
    count = len(batch["images"])
    rows = {name: value.chunk(parts) for name, value in batch.items() if _has_rows(value, count)}
    return [batch | {name: chunks[part] for name, chunks in rows.items()} for part in range(parts)]


def mean_metrics(metrics: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of each metric over the parts of a batch, detached."""
    first = metrics[0]
    if len(metrics) == 1:
        return {name: value.detach() for name, value in first.items()}
    return {name: torch.stack([one[name].detach() for one in metrics]).mean(0) for name in first}


def _has_rows(value: object, count: int) -> bool:
    return isinstance(value, Tensor) and value.dim() > 0 and len(value) == count
