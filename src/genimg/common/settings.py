"""Typed settings, read once from the nodes of a resolved configuration. Torch-free."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Node = dict[str, Any]  # a node with `_target_`, for the Builder

Settings = TypeVar("Settings", bound="DataclassInstance")


def read_settings(kind: type[Settings], node: dict[str, Any]) -> Settings:
    """Returns a settings class made of the keys of the same names in `node`, which may have more."""
    return kind(**{field.name: node[field.name] for field in fields(kind)})
