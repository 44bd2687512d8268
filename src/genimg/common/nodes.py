"""Nodes of a configuration as plain containers: everything in them, and copies with other values."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any


def parts(node: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Yields a node and everything in it, each with its dotted key."""
    yield key, node
    if isinstance(node, Mapping):
        for name, child in node.items():
            yield from parts(child, f"{key}.{name}".lstrip("."))
    elif isinstance(node, Sequence) and not isinstance(node, str):
        for index, child in enumerate(node):
            yield from parts(child, f"{key}[{index}]")


def mapped(node: Any, change: Callable[[str, Any], Any]) -> Any:
    """A copy of a node of a configuration with every value in it, at any depth, replaced by `change(key, value)`."""
    if isinstance(node, list):
        return [mapped(one, change) for one in node]
    if not isinstance(node, dict):
        return node
    return {name: mapped(change(name, value), change) for name, value in node.items()}


def of_installed_lightning(name: str) -> str:
    """The name in `pytorch_lightning` of a class or package of `lightning.pytorch`, which has the same code."""
    return re.sub(r"^lightning(\.pytorch(?=\.|$)|$)", "pytorch_lightning", name)


def replaced(node: Any, key: str, new: object) -> Any:
    """A copy of a node of a configuration with the value of every `key` in it, at any depth, replaced."""
    return mapped(node, lambda name, value: new if name == key else value)
