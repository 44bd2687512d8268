"""The OmegaConf resolvers of the YAML files. Torch-free."""

from __future__ import annotations

from typing import Any

from omegaconf import OmegaConf


def choose(condition: Any, then: Any, otherwise: Any) -> Any:
    """`${if:condition,then,otherwise}`."""
    return then if condition else otherwise


def count_classes(root: str | None, follow_links: bool = False) -> int:
    """`${count_classes:${data.root},${data.follow_links}}`: class folders below `root`; 0 if flat or missing."""
    from genimg.data.listing import count_classes as count

    return count(root, follow_links) if root else 0


def count_actions(root: str | None) -> int:
    """`${count_actions:${data.root}}`: different actions in the file of actions in `root`; 0 without one."""
    from genimg.data.actions import count_actions as count

    return count(root) if root else 0


def half(count: int) -> int:
    """`${half:${data.num_frames}}`, rounded down."""
    return int(count) // 2


def times(count: float, size: int) -> float:
    """`${times:20,${data.batch_size}}`."""
    return count * size


def register() -> None:
    """Registers the resolvers with OmegaConf; a second call changes nothing."""
    OmegaConf.register_new_resolver("if", choose, replace=True)
    OmegaConf.register_new_resolver("half", half, replace=True)
    OmegaConf.register_new_resolver("times", times, replace=True)
    # cached, because composing, checking and writing each resolve it, and a folder may be large
    OmegaConf.register_new_resolver("count_classes", count_classes, replace=True, use_cache=True)
    OmegaConf.register_new_resolver("count_actions", count_actions, replace=True, use_cache=True)
