"""Build what a configuration names by `_target_`, and nothing that it is not allowed to name."""

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from genimg.common.errors import UserError, first_line

#: Classes that any configuration may name, one out of a stranger's checkpoint too: modules and optimizers, which hold
#: tensors and open nothing. `genimg.` as a whole would let in what writes files and starts processes.
ALLOWED = (r"genimg\.models\.((networks|objectives)\.)?\w+\.[A-Z]\w*", r"torch\.optim\.[A-Z]\w*")

_TARGET = re.compile(r"\b_target_: *[\"']?([\w.]+)")


def named_in(folder: Path) -> tuple[str, ...]:
    """Every `_target_` in the YAML files below a folder."""
    pages = (page.read_text(encoding="utf-8", errors="replace") for page in sorted(folder.rglob("*.yaml")))
    return tuple(dict.fromkeys(name for page in pages for name in _TARGET.findall(page)))


@cache
def packaged(group: str) -> tuple[str, ...]:
    """The classes that the project's own YAML of a group names: what a saved configuration of ours is built of."""
    from importlib import import_module

    return named_in(Path(import_module("genimg.configs").__path__[0], group))


def build(node: Any, trust: Iterable[str] | None = None, key: str = "") -> Any:
    """Instantiate a configuration node (a plain dict with `_target_`), its arguments first.

    Args:
        node: plain containers; `_partial_: true` gives a factory.
        trust: packages or classes allowed besides `ALLOWED`, as `["mypackage"]`; None allows every target, for a
            configuration that the user composed on this command line.
        key: that of the node, as `model`, for messages.

    Raises:
        UserError: for a target that is not allowed, one that does not exist, or a value that its class refuses; where
            the configuration is a stranger's (`trust` is not None), for whatever its classes raise.
    """
    from hydra.errors import InstantiationException
    from hydra.utils import instantiate
    from omegaconf.errors import OmegaConfBaseException

    trust = None if trust is None else tuple(trust)
    if trust is not None:
        check_names(node, trust, key)
    for name, target in targets(node):
        check_class(f"{key}.{name}".lstrip("."), target, trust)
    try:
        return instantiate(node, _convert_="all")
    except (InstantiationException, OmegaConfBaseException) as error:
        cause = error.__cause__
        if isinstance(cause, UserError):
            raise cause from None
        # without a cause Hydra itself has refused: a target that runs programs, say
        if cause is None or isinstance(cause, ValueError | TypeError) or trust is not None:
            inner = match[1] if (match := re.search(r"^full_key: (\S+)", str(error), re.MULTILINE)) else ""
            called = ".".join(filter(None, (key, inner))) or "configuration"
            said = first_line(cause) if cause else " ".join(str(error).split()).split(". ")[0]
            raise UserError(key=called, got=None, expected=said) from error
        raise


def check_names(node: Any, trust: Iterable[str], key: str = "") -> None:
    """Refuse what a stranger's configuration must not hold, by names alone: nothing is imported.

    `${...}` is refused because it is resolved after the targets are checked: `${oc.create:...}` makes new ones, and
    `${oc.env:...}` reads what is none of its business. A saved configuration is resolved and has none.
    """
    trust = tuple(trust)
    if isinstance(node, Mapping):
        if "_target_" in node:
            check_name(f"{key}._target_".lstrip("."), str(node["_target_"]), trust)
        for name, child in node.items():
            check_names(name, trust, key)
            check_names(child, trust, f"{key}.{name}".lstrip("."))
    elif isinstance(node, str):
        if "${" in node:
            raise UserError(key=key, got=node, expected="a resolved value, as every configuration that was saved holds")
    elif isinstance(node, Sequence):
        for index, child in enumerate(node):
            check_names(child, trust, f"{key}[{index}]")


def parts(node: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """A node and everything in it, each with its dotted key."""
    yield key, node
    if isinstance(node, Mapping):
        for name, child in node.items():
            yield from parts(child, f"{key}.{name}".lstrip("."))
    elif isinstance(node, Sequence) and not isinstance(node, str):
        for index, child in enumerate(node):
            yield from parts(child, f"{key}[{index}]")


def targets(node: Any) -> Iterator[tuple[str, str]]:
    """Every `_target_` in a node, with the path of the key that holds it."""
    for key, part in parts(node):
        if isinstance(part, Mapping) and "_target_" in part:
            yield f"{key}._target_".lstrip("."), str(part["_target_"])


def only_ours(node: Any) -> bool:
    """Whether a node names nothing but what is `ALLOWED`."""
    return all(_allowed(target) for _, target in targets(node))


def check_name(key: str, target: str, trust: Sequence[str]) -> None:
    """Refuse the name of a class that is neither `ALLOWED` nor in `trust`."""
    if not _allowed(target) and not _trusted(target, trust):
        hint = f"if you know where it comes from: trust=[{target.split('.')[0]}]"
        raise UserError(key=key, got=target, expected=_expected(trust), hint=hint)


def check_class(key: str, target: str, trust: Sequence[str] | None) -> None:
    """Refuse a target that is missing, or that is no class of the package its name begins with.

    The name alone is not enough: `genimg.models.gan.Any` is allowed by its name, and made elsewhere.
    """
    import importlib
    import inspect

    expected = "a class of an installed package, or of a module in this folder" if trust is None else _expected(trust)
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
    if trust is None:
        return
    made_in = f"{getattr(found, '__module__', '')}."
    if target.startswith("genimg."):
        homes = {module_name}
    elif target.startswith("torch.optim."):
        homes = {"torch.optim"}
    else:
        homes = {name.split(".")[0] for name in trust}
    if not (inspect.isclass(found) and made_in.startswith(tuple(f"{home}." for home in homes))):
        raise UserError(key=key, got=target, expected=expected)


def _allowed(target: str) -> bool:
    return any(re.fullmatch(pattern, target) for pattern in ALLOWED)


def _trusted(target: str, trust: Iterable[str]) -> bool:
    return any(target == name or target.startswith(f"{name.rstrip('.')}.") for name in trust)


def _expected(trust: Sequence[str]) -> str:
    packages = dict.fromkeys(name.split(".")[0] for name in trust if not name.startswith("genimg."))
    return "a class of " + ", ".join(
        ("genimg.models", "genimg.models.networks", "genimg.models.objectives", "torch.optim", *packages)
    )
