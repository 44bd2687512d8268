"""RUN/config.yaml, read as what it may be, a stranger's file; and what it is changed by. Torch-free."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from genimg.common.errors import UserError

LARGEST = 2**18  # bytes; ours have a few thousand
PRUNING = "pruning"  # key of the callback that a search adds to a job
SHOWING = ("samples", "health", "progress")  # keys of the callbacks that show and tell, and change no figure


def read_config(path: Path, key: str) -> dict[str, Any]:
    """The mapping in the file, plain and unresolved. `key` is what the user named the run by.

    Raises:
        UserError: if it is missing, damaged or no mapping; too large; or has aliases, of which a few lines make more
            than memory holds. Ours has none.
    """
    try:
        if path.stat().st_size > LARGEST:
            raise ValueError(f"it has more than {LARGEST:,} bytes")
        text = path.read_text(encoding="utf-8")
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=yaml.SafeLoader)):
            raise ValueError("it has YAML aliases, which no saved configuration has")
        found = OmegaConf.to_container(OmegaConf.create(text))
        if not isinstance(found, dict):
            raise ValueError("it is no mapping")
    except (OSError, ValueError, RecursionError, yaml.YAMLError, OmegaConfBaseException) as error:
        raise UserError(key, path, "the configuration of a run", f"{error}".splitlines()[0]) from error
    return cast(dict[str, Any], found)


def mapped(node: Any, change: Callable[[str, Any], Any]) -> Any:
    """A node of a configuration with `change(key, value)` in the place of every value in it, at any depth."""
    if not isinstance(node, dict):
        return node
    return {name: mapped(change(name, value), change) for name, value in node.items()}


def replaced(node: Any, key: str, new: object) -> Any:
    """A node of a configuration with every `key` in it, at any depth, replaced."""
    return mapped(node, lambda name, value: new if name == key else value)
