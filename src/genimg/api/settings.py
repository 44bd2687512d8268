"""Settings that are given as arguments in Python, as words of the command line."""

import re
from collections.abc import Iterable, Mapping, Sequence
from numbers import Real
from pathlib import Path
from typing import Any

from genimg.common.errors import UserError, nearest
from genimg.common.quoting import quoted

_WORD = re.compile(r"[\w.+/-]+", re.ASCII)  # needs no quotes


def words_of(settings: Mapping[str, Any], keys: Iterable[str]) -> list[str]:
    """The words for settings by name: `{"budget_minutes": 2}` is `["budget.minutes=2"]`.

    Args:
        settings: an underscore stands for the dot or the slash of a key.
        keys: those of the default configuration, and the groups: `budget`, `budget.minutes`, `model/network`, ... A key
            that another choice has, such as model.latent_dim, follows the name of its group.

    Raises:
        UserError: for a name that is no key and does not begin with a group, or a value that no setting can have.
    """
    names = {key.replace(".", "_").replace("/", "_"): key for key in keys}
    return [f"{_key(name, names)}={_text(name, value)}" for name, value in settings.items()]


def _key(name: str, names: Mapping[str, str]) -> str:
    if name in names:
        return names[name]
    group, _, rest = name.partition("_")
    if rest and any(key.startswith((f"{group}.", f"{group}/")) for key in names.values()):
        return f"{group}.{rest}"
    near = nearest(name, names)
    expected = "a key of the configuration with underscores for its dots: budget_minutes"
    raise UserError(name, None, expected, f"did you mean {near}?" if near else None)


def _text(name: str, value: object) -> str:
    """A value in Hydra's grammar."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Real):
        return str(value)
    if isinstance(value, str | Path):
        return str(value) if _WORD.fullmatch(str(value)) else quoted(str(value))
    if isinstance(value, Mapping) and all(isinstance(key, str) and _WORD.fullmatch(key) for key in value):
        return "{" + _joined(f"{key}:{_text(name, one)}" for key, one in value.items()) + "}"
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return "[" + _joined(_text(name, one) for one in value) + "]"
    raise UserError(name, type(value).__name__, "None, a number, a text, a path, or a list or mapping of these")


def _joined(parts: Iterable[str]) -> str:
    return ",".join(parts)
