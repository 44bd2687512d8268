"""Checks values: against the type of their default, or the rule of their key."""

from __future__ import annotations

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from genimg.common.errors import UserError
from genimg.common.limits import LARGEST_INTEGER
from genimg.common.rule import Rule, is_number, shown, too_large
from genimg.common.rules import rule_for, takes_names
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
            raise UserError(key, shown(given), f"{_type_name(default)}, like the default {shown(default)}")


def convert_types(config: DictConfig, overrides: list[Override], nodes: dict[str, object]) -> None:
    """Converts values that YAML parsed as another type than the rule's.

    1e5 becomes an integer, 2024 a folder name, and a number of more than 64 bits, which torch and a checkpoint cannot
    hold as an integer, a float.
    """
    written = {o.key_or_group: line(o).partition("=")[2].strip() for o in overrides if is_number(o.value())}
    for key in nodes:
        rule = rule_for(key)
        if rule is None:
            continue
        given = _unresolved(config, key)
        converted = rule.converted(given, written.get(key))
        if converted is not given:
            OmegaConf.update(config, key, converted)


def check_rules(composer: Composer, words: list[str], config: DictConfig, nodes: dict[str, object]) -> None:
    """Checks every value against the rule of its key, in whichever file or override it was set."""
    for key in missing_keys(nodes):
        raise UserError(key, None, "a value; it has no default", f"{key}=...", composer.source_of(key, words))
    for key, node in nodes.items():
        rule = rule_for(key)
        if isinstance(node, DictConfig):
            continue
        if rule is None or not _applies(rule, key, config):
            if too_large(given := _unresolved(config, key)):
                raise UserError(key, shown(given), f"integers of at most 64 bits, up to {LARGEST_INTEGER}")
            continue
        try:
            value = plain_value(config, key)
        except OmegaConfBaseException as error:
            raise UserError(key, None, f"a value that resolves: {' '.join(str(error).split())}") from error
        if rule.accepts(value):
            continue
        set_by_user = any(word.lstrip("+").startswith(f"{key}=") for word in words)
        source = composer.source_of(key, [] if set_by_user and "." not in key else _without(words, key))
        raise UserError(key, shown(value), str(rule), rule.hint_for(key, value), source)


def _applies(rule: Rule, key: str, config: DictConfig) -> bool:
    group = key.split(".")[0]
    return rule.applies(key, OmegaConf.select(config, f"{group}._target_") if "." in key else None)


def _unresolved(config: DictConfig, key: str) -> object:
    """The plain value of a key; an interpolation that does not resolve is None."""
    value = OmegaConf.select(config, key, throw_on_missing=False, throw_on_resolution_failure=False)
    return OmegaConf.to_container(value) if isinstance(value, ListConfig) else value


def _check_mapping(key: str, given: object, default: DictConfig) -> None:
    if isinstance(given, dict):
        return  # check_keys has checked its keys
    inner = ", ".join(f"{key}.{name}" for name in list(default)[:4])
    expected = f"a mapping; set its keys: {inner}, ..." if inner else f"a mapping: +{key}._target_=package.Class"
    hint = f"to remove it: ~{key}" if given is None and key.split(".")[0] in OPEN else None
    raise UserError(key, shown(given), expected, hint=hint)


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


def _without(words: list[str], key: str) -> list[str]:
    return [word for word in words if not word.lstrip("+").startswith(f"{key}=")]
