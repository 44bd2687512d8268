"""Checks values: against the type of their default, or the rule of their key."""

from __future__ import annotations

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from genimg.common.errors import UserError, nearest
from genimg.common.limits import LARGEST_INTEGER
from genimg.common.rules import Rule, is_finite, rule_for, takes_names
from genimg.config.compose import Composer, line
from genimg.config.hydra_api import Override, missing_keys, plain_value
from genimg.config.names import OPEN


def check_types(overrides: list[Override], nodes: dict[str, object], base: DictConfig) -> None:
    """Checks that each override has the type of its default. `check_rules` checks the keys with a rule."""
    for override in overrides:
        key = override.key_or_group
        if override.is_delete() or key not in nodes or override.is_sweep_override():
            continue
        given, default = override.value(), OmegaConf.select(base, key, throw_on_missing=False)
        if isinstance(default, DictConfig):
            _check_mapping(key, given, default)
        elif isinstance(given, dict) and not takes_names(key):
            expected = str(rule_for(key) or _type_name(default))
            raise UserError(key, override.input_line, f"{expected}, not a mapping")
        elif rule_for(key) is None and not _same_type(given, default):
            raise UserError(key, _shown(given), f"{_type_name(default)}, like the default {_shown(default)}")


def convert_types(config: DictConfig, overrides: list[Override], nodes: dict[str, object]) -> None:
    """Converts values that YAML parsed as another type than the rule's.

    1e5 becomes an integer, 2024 a folder name, and a number of more than 64 bits, which torch and a checkpoint cannot
    hold as an integer, a float.
    """
    written = {o.key_or_group: line(o).partition("=")[2].strip() for o in overrides if _is_number(o.value())}
    for key in nodes:
        rule = rule_for(key)
        if rule is None:
            continue
        value = OmegaConf.select(config, key, throw_on_missing=False, throw_on_resolution_failure=False)
        if rule.kind in ("number", "two", "schedule"):
            if _too_large(value):
                OmegaConf.update(config, key, _as_float(value))
        elif rule.choices:
            continue
        elif rule.kind in ("integer", "size"):
            if isinstance(value, float) and value.is_integer():
                OmegaConf.update(config, key, int(value))
        elif rule.kind in ("text", "paths") and _is_number(value):
            OmegaConf.update(config, key, written.get(key, str(value)))
        elif rule.kind == "paths" and isinstance(value, ListConfig):
            OmegaConf.update(config, key, [str(one) if _is_number(one) else one for one in value])


def _too_large(value: object) -> bool:
    """Whether `value` is an integer of more than 64 bits, or a list with one."""
    if isinstance(value, list | ListConfig):
        return any(map(_too_large, value))
    return isinstance(value, int) and abs(value) > LARGEST_INTEGER


def _as_float(value: object) -> object:
    """Numbers as floats, in lists too; an integer that no float can hold stays, and its rule refuses it."""
    if isinstance(value, list | ListConfig):
        return [_as_float(one) for one in value]
    return float(value) if isinstance(value, int) and _is_number(value) and is_finite(value) else value


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def check_rules(composer: Composer, words: list[str], config: DictConfig, nodes: dict[str, object]) -> None:
    """Checks every value against the rule of its key, in whichever file or override it was set."""
    for key in missing_keys(nodes):
        raise UserError(key, None, "a value; it has no default", f"{key}=...", composer.source_of(key, words))
    for key, node in nodes.items():
        rule = rule_for(key)
        if isinstance(node, DictConfig):
            continue
        if rule is None or not _applies(rule, key, config):
            if _too_large(given := OmegaConf.select(config, key, throw_on_resolution_failure=False)):
                raise UserError(key, _shown(given), f"integers of at most 64 bits, up to {LARGEST_INTEGER}")
            continue
        try:
            value = plain_value(config, key)
        except OmegaConfBaseException as error:
            raise UserError(key, None, f"a value that resolves: {' '.join(str(error).split())}") from error
        if rule.accepts(value):
            continue
        hint = rule.hint
        if rule.kind in ("integer", "size") and _too_large(value):
            hint = f"an integer has at most 64 bits: {LARGEST_INTEGER}"
        elif rule.kind == "size" and isinstance(value, str) and "x" in value:
            width, _, height = value.partition("x")  # the usual order of image sizes; the key takes (height, width)
            hint = f"{key}=[{height},{width}] is {width} wide and {height} high"
        elif rule.kind == "two" and _is_number(value):
            hint = f"{key}=[{_shown(value)},{_shown(value)}]"
        elif rule.kind in ("list", "seeds") and not isinstance(value, list):
            hint = f"{key}=[{_shown(value)}]"
        elif rule.kind == "names":
            hint = _nearest_list(key, value, rule)
        elif meant := _nearest_choice(str(value), rule):
            hint = f"did you mean {key}={meant}?"
        set_by_user = any(word.lstrip("+").startswith(f"{key}=") for word in words)
        source = composer.source_of(key, [] if set_by_user and "." not in key else _without(words, key))
        raise UserError(key, _shown(value), str(rule), hint, source)


def _nearest_list(key: str, value: object, rule: Rule) -> str | None:
    """A hint at the list that the user most likely meant, with the nearest known names, or at the nearest word."""
    given = value if isinstance(value, list) else [value]
    if len(given) == 1 and (word := nearest(str(given[0]), rule.choices)):
        return f"did you mean {key}={word}?"
    meant = [name for one in given if (name := nearest(str(one), rule.names))]
    return f"did you mean {key}=[{','.join(meant)}]?" if meant else None


def _nearest_choice(value: str, rule: Rule) -> str | None:
    return next((c for c in rule.choices if value and c.startswith(value)), None) or nearest(value, rule.choices)


def _applies(rule: Rule, key: str, config: DictConfig) -> bool:
    group = key.split(".")[0]
    return rule.applies(key, OmegaConf.select(config, f"{group}._target_") if "." in key else None)


def _check_mapping(key: str, given: object, default: DictConfig) -> None:
    if isinstance(given, dict):
        return  # check_keys has checked its keys
    inner = ", ".join(f"{key}.{name}" for name in list(default)[:4])
    hint = f"to remove it: ~{key}" if given is None and key.split(".")[0] in OPEN else None
    raise UserError(key, _shown(given), f"a mapping; set its keys: {inner}, ...", hint=hint)


def _same_type(given: object, default: object) -> bool:
    if default is None or given is None:
        return True
    if isinstance(default, bool) or isinstance(given, bool):
        return isinstance(default, bool) and isinstance(given, bool)
    if isinstance(default, int):
        return isinstance(given, int)
    if isinstance(default, float):
        return isinstance(given, int | float)
    if isinstance(default, str):
        return isinstance(given, str | int | float)
    return isinstance(given, list)


def _type_name(default: object) -> str:
    names = {bool: "true or false", int: "an integer", float: "a number", str: "text"}
    return names.get(type(default), "a list: [a,b]")


def _shown(value: object) -> str:
    """`value` as it is written on the command line."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value).replace("'", "") if isinstance(value, list) else str(value) or "nothing"


def _without(words: list[str], key: str) -> list[str]:
    return [word for word in words if not word.lstrip("+").startswith(f"{key}=")]
