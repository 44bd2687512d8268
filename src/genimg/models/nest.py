"""Nests of tuples, lists, tensors and None, such as the states of recurrent networks."""

from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from torch import Tensor

Nest = TypeVar("Nest")


def leaves(nest: Any) -> Iterator[Tensor]:
    """The tensors of a nest, in order."""
    if isinstance(nest, Tensor):
        yield nest
    elif nest is not None:
        for part in nest:
            yield from leaves(part)


def filled(nest: Nest, tensors: Iterable[Tensor]) -> Nest:
    """A nest of the same structure with other tensors."""
    return _filled(nest, iter(tensors))


def detached(nest: Nest) -> Nest:
    """The nest without the history of its tensors."""
    return filled(nest, (leaf.detach() for leaf in leaves(nest)))


def _filled(nest: Any, tensors: Iterator[Tensor]) -> Any:
    if isinstance(nest, Tensor):
        return next(tensors)
    if nest is None:
        return None
    parts = [_filled(part, tensors) for part in nest]
    return type(nest)(*parts) if hasattr(nest, "_fields") else type(nest)(parts)
