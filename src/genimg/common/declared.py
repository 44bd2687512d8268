"""Literals that a module of this package declares, read from its source without importing it.

The command must answer before torch is imported, and the models, losses and callbacks import torch. Reading the source
lets a class or a registry stay the only owner of a fact that the command needs.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any


def class_attribute(target: str, name: str) -> Any:
    """The literal value of the class attribute `name` of the class `target`, or None if nothing sets it.

    Args:
        target: dotted path of a class of this package, for example `genimg.models.gan.GAN`.
        name: the attribute, of the class or of its base classes in this package, the first of them first.

    Raises:
        LookupError: if there is no such class.
        ValueError: if the value is not a literal.
    """
    module, _, class_name = target.rpartition(".")
    defined = _class(_parsed(module), class_name)
    if defined is None:
        raise LookupError(f"{module} defines no class {class_name}")
    value = _assigned(defined.body, name)
    if value is not None:
        return ast.literal_eval(value)
    inherited = (class_attribute(base, name) for base in _bases(module, defined))
    return next((value for value in inherited if value is not None), None)


def registry(module: str, name: str) -> tuple[str, ...]:
    """The names in the registry `name` of `module`, in order: the keys of a dictionary literal, or a tuple of strings.

    Raises:
        LookupError: if there is no such registry.
    """
    value = _assigned(_parsed(module).body, name)
    names = value.keys if isinstance(value, ast.Dict) else value.elts if isinstance(value, ast.Tuple) else None
    if names is None:
        raise LookupError(f"{module} assigns no dictionary or tuple literal to {name}")
    return tuple(ast.literal_eval(one) for one in names if one is not None)


@cache
def _parsed(module: str) -> ast.Module:
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        raise LookupError(f"there is no module {module}")
    return ast.parse(Path(spec.origin).read_text(encoding="utf-8"))


def _class(tree: ast.Module, name: str) -> ast.ClassDef | None:
    return next((node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name), None)


def _bases(module: str, defined: ast.ClassDef) -> Iterator[str]:
    """The dotted paths of the base classes that this package defines."""
    tree = _parsed(module)
    names = [base.id for base in defined.bases if isinstance(base, ast.Name)]
    for name in names:
        if _class(tree, name) is not None:
            yield f"{module}.{name}"
        for node in tree.body:
            if isinstance(node, ast.ImportFrom) and node.module is not None and node.module.startswith("genimg."):
                yield from (f"{node.module}.{alias.name}" for alias in node.names if alias.name == name)


def _assigned(body: list[ast.stmt], name: str) -> ast.expr | None:
    """The right-hand side of the last `name = ...` or `name: type = ...` in `body`."""
    for node in reversed(body):
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            assert isinstance(node, ast.Assign | ast.AnnAssign)
            return node.value
    return None
