"""Build what a configuration names by `_target_`, and nothing that it is not allowed to name."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from genimg.errors import UserError

#: Packages whose classes any configuration may name, one out of a stranger's checkpoint too.
ALLOWED = ("genimg.models.", "genimg.networks.", "genimg.objectives.", "torch.optim.")


def build(node: Any, trust: Iterable[str] | None = None) -> Any:
    """Instantiate a configuration node (a plain dict with `_target_`), its arguments first.

    Args:
        node: plain containers; `_partial_: true` gives a factory.
        trust: packages allowed besides `ALLOWED`, as `["mypackage"]`; None allows every target, for a
            configuration that the user composed on this command line.

    Raises:
        UserError: for a target outside the allowed packages, one that does not exist, or a value that its class
            refuses.
    """
    from hydra.errors import InstantiationException
    from hydra.utils import instantiate

    if trust is not None:
        refuse_interpolations(node)
    for key, target in targets(node):
        check_target(key, target, trust)
    try:
        return instantiate(node, _convert_="all")
    except InstantiationException as error:
        if isinstance(error.__cause__, UserError):
            raise error.__cause__ from None
        if isinstance(error.__cause__, ValueError | TypeError):
            raise UserError(key=node["_target_"], got=None, expected=str(error.__cause__)) from error
        raise


def refuse_interpolations(node: Any, key: str = "") -> None:
    """Refuse `${...}`: it is resolved after the targets are checked, and `${oc.create:...}` makes new targets.

    A saved configuration is resolved and has none.
    """
    if isinstance(node, Mapping):
        for name, child in node.items():
            refuse_interpolations(name, key)
            refuse_interpolations(child, f"{key}.{name}".lstrip("."))
    elif isinstance(node, str):
        if "${" in node:
            raise UserError(key=key, got=node, expected="a resolved value, as every checkpoint of ours holds")
    elif isinstance(node, Sequence):
        for index, child in enumerate(node):
            refuse_interpolations(child, f"{key}[{index}]")


def targets(node: Any, key: str = "") -> Iterable[tuple[str, str]]:
    """Every `_target_` in a node, with the path of the key that holds it."""
    if isinstance(node, Mapping):
        if "_target_" in node:
            yield f"{key}._target_".lstrip("."), str(node["_target_"])
        for name, child in node.items():
            yield from targets(child, f"{key}.{name}".lstrip("."))
    elif isinstance(node, Sequence) and not isinstance(node, str):
        for index, child in enumerate(node):
            yield from targets(child, f"{key}[{index}]")


def check_target(key: str, target: str, trust: Iterable[str] | None) -> None:
    """Refuse a target that is missing, or whose object was made outside the allowed packages.

    The name alone is not enough: `genimg.models.gan.torch.os.system` begins well and ends in `os`, so what it
    resolves to must itself be a class of an allowed package.
    """
    import importlib
    import inspect

    prefixes = None if trust is None else (*ALLOWED, *(f"{name.rstrip('.')}." for name in trust))
    expected = "a class of " + ", ".join(p.rstrip(".") for p in prefixes or ("an installed package",))
    if prefixes is not None and not target.startswith(prefixes):
        raise UserError(key=key, got=target, expected=expected, hint="if you know where it comes from: trust=[package]")
    module_name, _, name = target.rpartition(".")
    try:
        module = importlib.import_module(module_name)
        found = getattr(module, name)
    except (ImportError, AttributeError, ValueError) as error:
        near = difflib.get_close_matches(name, dir(module) if "module" in locals() else [], n=1)
        raise UserError(
            key=key,
            got=target,
            expected=f"{expected} ({error})",
            hint=f"did you mean {near[0]}?" if near else None,
        ) from error
    made_in = f"{getattr(found, '__module__', '')}."
    if prefixes is not None and not (inspect.isclass(found) and made_in.startswith(prefixes)):
        raise UserError(key=key, got=target, expected=expected)
