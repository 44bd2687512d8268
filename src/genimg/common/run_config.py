"""Reads RUN/config.yaml, which is untrusted, and transforms nodes of it. Torch-free."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from genimg.common.declared import class_attribute
from genimg.common.errors import UserError
from genimg.common.reading import read_yaml

PRUNING = "pruning"  # key of the callback that a search adds to a job


def read_config(path: Path, key: str) -> dict[str, Any]:
    """Reads the mapping in the file, plain and unresolved. `key` is the key that named the run.

    Raises:
        UserError: if `read_yaml` refuses it, or it is not a mapping.
    """
    try:
        found = read_yaml(path)
        if not isinstance(found, dict):
            raise ValueError("it is not a mapping")
    except ValueError as error:
        raise UserError(key, path, "the configuration of a run", str(error)) from error
    return cast(dict[str, Any], found)


def passive_callbacks(callbacks: object) -> tuple[str, ...]:
    """The names of the configured callbacks that change no metric and no weight, as their classes declare.

    A class from outside this package is not passive.
    """
    nodes = callbacks.items() if isinstance(callbacks, dict) else ()
    return tuple(str(name) for name, node in nodes if isinstance(node, dict) and _is_passive(str(node.get("_target_"))))


def _is_passive(target: str) -> bool:
    try:
        return target.startswith("genimg.training.callbacks.") and class_attribute(target, "passive") is True
    except (LookupError, ImportError, ValueError):  # the configuration may be untrusted
        return False


def mapped(node: Any, change: Callable[[str, Any], Any]) -> Any:
    """A copy of a node of a configuration with every value in it, at any depth, replaced by `change(key, value)`."""
    if isinstance(node, list):
        return [mapped(one, change) for one in node]
    if not isinstance(node, dict):
        return node
    return {name: mapped(change(name, value), change) for name, value in node.items()}


def replaced(node: Any, key: str, new: object) -> Any:
    """A copy of a node of a configuration with the value of every `key` in it, at any depth, replaced."""
    return mapped(node, lambda name, value: new if name == key else value)
