"""Instantiates the classes that a configuration names with `_target_`, and refuses those that it may not name."""

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from genimg.common.errors import UserError, first_line
from genimg.common.nodes import parts
from genimg.common.services import SERVICES

#: Classes that every configuration may name, including one from an untrusted checkpoint: modules and optimizers, which
#: hold tensors and open nothing. Allowing all of `genimg.` would allow classes that write files and start processes.
ALLOWED = (r"genimg\.models\.((networks|objectives)\.)?\w+\.[A-Z]\w*", r"torch\.optim\.[A-Z]\w*")

# of Hydra's special keys, those that a file may use; `_args_` would set a parameter without its name
_SPECIAL = ("_target_", "_partial_")
_TARGET = re.compile(r"\b_target_: *[\"']?([\w.]+)")


class Builder:
    """Instantiates nodes of one configuration.

    Args:
        trust: packages or classes allowed besides `ALLOWED`, for example `["mypackage"]`. None allows every target, for
            a configuration that the user composed on this command line.
    """

    def __init__(self, trust: Iterable[str] | None = None) -> None:
        self.trust = None if trust is None else tuple(trust)

    def build(self, node: Any, key: str = "", group: str | None = None) -> Any:
        """Instantiates a node, its arguments first.

        Args:
            node: plain containers with `_target_`; `_partial_: true` gives a factory.
            key: key of the node, for example `model`, for messages.
            group: config group whose packaged YAML may also name classes, for example `data`.

        Raises:
            UserError: if a target is not allowed or does not exist, or a class refuses a value; in the group `data`
                also if files are missing or damaged. For an untrusted configuration (`trust` is not None), for every
                exception that a class raises.
        """
        from hydra.errors import InstantiationException
        from hydra.utils import instantiate
        from omegaconf.errors import OmegaConfBaseException

        trust = self.trust
        if trust is not None:
            trust = (*trust, *(packaged(group) if group else ()))
            check_names(node, trust, key)
        for name, target in targets(node):
            check_class(f"{key}.{name}".lstrip("."), target, trust)
        try:
            return instantiate(node, _convert_="all")
        except (InstantiationException, OmegaConfBaseException) as error:
            cause = error.__cause__
            if isinstance(cause, UserError):
                raise cause from None
            # without a cause, Hydra itself refused the target, for example one that runs programs
            expected = (ValueError, TypeError, OSError, RuntimeError) if group == "data" else (ValueError, TypeError)
            if cause is None or isinstance(cause, expected) or trust is not None:
                inner = match[1] if (match := re.search(r"^full_key: (\S+)", str(error), re.MULTILINE)) else ""
                full_key = ".".join(filter(None, (key, inner))) or "configuration"
                reason = first_line(cause) if cause else " ".join(str(error).split()).split(". ")[0]
                raise UserError(key=full_key, got=None, expected=reason) from error
            raise


def named_in(folder: Path) -> tuple[str, ...]:
    """Returns every `_target_` in the YAML files below a folder."""
    pages = (page.read_text(encoding="utf-8", errors="replace") for page in sorted(folder.rglob("*.yaml")))
    return tuple(dict.fromkeys(name for page in pages for name in _TARGET.findall(page)))


@cache
def packaged(group: str) -> tuple[str, ...]:
    """Returns the classes that the packaged YAML of a config group names, without those that connect to a service."""
    from importlib import import_module

    found = named_in(Path(import_module("genimg.configs").__path__[0], group))
    return tuple(name for name in found if name not in SERVICES)


def check_names(node: Any, trust: Iterable[str], key: str = "") -> None:
    """Checks an untrusted configuration by names alone; imports nothing.

    `${...}` is refused because it is resolved after the targets are checked: `${oc.create:...}` creates new targets and
    `${oc.env:...}` reads the environment. A saved configuration is resolved and has no interpolation.

    Raises:
        UserError: for the first target that is not allowed, an interpolation, and a parameter without a name.
    """
    trust = tuple(trust)
    if isinstance(node, Mapping):
        if "_target_" in node:
            check_name(f"{key}._target_".lstrip("."), str(node["_target_"]), trust)
        for name, child in node.items():
            if re.fullmatch(r"_\w+_", str(name)) and name not in _SPECIAL:
                raise UserError(
                    f"{key}.{name}".lstrip("."), None, "parameters by name; only _target_ and _partial_ are special"
                )
            check_names(name, trust, key)
            check_names(child, trust, f"{key}.{name}".lstrip("."))
    elif isinstance(node, str):
        if "${" in node:
            raise UserError(key=key, got=node, expected="a resolved value, as in every saved configuration")
    elif isinstance(node, Sequence):
        for index, child in enumerate(node):
            check_names(child, trust, f"{key}[{index}]")


def targets(node: Any) -> Iterator[tuple[str, str]]:
    """Yields every `_target_` in a node, with the dotted key that holds it."""
    for key, part in parts(node):
        if isinstance(part, Mapping) and "_target_" in part:
            yield f"{key}._target_".lstrip("."), str(part["_target_"])


def names_only_allowed(node: Any) -> bool:
    """Returns whether every target in a node is `ALLOWED`."""
    return all(_allowed(target) for _, target in targets(node))


def check_name(key: str, target: str, trust: Sequence[str]) -> None:
    """Raises UserError for the name of a class that is neither `ALLOWED` nor in `trust`."""
    if not _allowed(target) and not _trusted(target, trust):
        hint = f"if you trust its author: trust=[{target.split('.')[0]}]"
        raise UserError(key=key, got=target, expected=_expected(trust), hint=hint)


def check_class(key: str, target: str, trust: Sequence[str] | None) -> None:
    """Raises UserError for a target that does not exist, or is no class defined in the package that its name says.

    The name alone is not enough: `genimg.models.gan.Any` is allowed by its name, but defined elsewhere.
    """
    import importlib
    import inspect

    expected = "a class of an installed package or of a module in this folder" if trust is None else _expected(trust)
    module_name, _, name = target.rpartition(".")
    try:
        module = importlib.import_module(module_name)
        found = getattr(module, name)
    except (ImportError, AttributeError, ValueError) as error:
        near = difflib.get_close_matches(name, dir(module) if "module" in locals() else [], n=1)
        hint = f"did you mean {near[0]}?" if near else None
        raise UserError(key=key, got=target, expected=f"{expected} ({error})", hint=hint) from error
    if trust is None:
        return
    defined_in = f"{getattr(found, '__module__', '')}."
    if target.startswith("genimg."):
        homes = {module_name}
    elif target.startswith("torch.optim."):
        homes = {"torch.optim"}
    else:
        homes = {name.split(".")[0] for name in trust}
    if not (inspect.isclass(found) and defined_in.startswith(tuple(f"{home}." for home in homes))):
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
