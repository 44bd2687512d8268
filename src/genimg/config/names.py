"""Names on the command line: does every key and choice exist, and if not, which one was meant?"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig

from genimg.config import pages
from genimg.config.compose import Composer
from genimg.errors import UserError

# mappings of named parts that a user may add to or take from: `+callbacks.mine._target_=...`, `~callbacks.ema`
OPEN = ("callbacks", "logger", "hydra")


def check_words(composer: Composer, words: list[str]) -> None:
    """Every word is `key=value` or `~key`."""
    for word in words:
        if "=" in word or word.startswith("~"):
            continue
        groups = [group for group in composer.groups() if word in composer.choices(group)]
        hint = f"did you mean {groups[0]}={word}?" if groups else f"did you mean {word}=VALUE?"
        raise UserError(word, None, "key=value, without spaces around '='", hint=hint)


def split(composer: Composer, overrides: list[Override]) -> tuple[list[Override], list[Override]]:
    """(choices of groups and Hydra's own settings, values of keys)."""
    groups = [
        o for o in overrides if composer.is_group(o.key_or_group) or o.key_or_group.split(".")[0] == "hydra"
    ]
    return groups, [o for o in overrides if o not in groups]


def check_choices(composer: Composer, overrides: list[Override]) -> None:
    """Every group has the choice that is asked of it."""
    for override in overrides:
        group, value = override.key_or_group, override.value()
        if not composer.is_group(group) or override.is_delete() or override.is_sweep_override():
            continue
        for choice in value if isinstance(value, list) else [value]:
            known = composer.choices(group)
            if choice is None and group == "experiment":
                continue
            if str(choice) not in known:
                raise _unknown_choice(composer, group, str(choice), known)


def check_keys(composer: Composer, overrides: list[Override], nodes: dict[str, object]) -> None:
    """Every key exists in `nodes` (see `flatten`); `+` and `~` only where parts may be added or taken."""
    for override in overrides:
        key = override.key_or_group
        if override.is_delete():
            _check_removable(composer, key, nodes)
        elif (
            key not in nodes
            and not (override.is_add() or override.is_force_add())
            or not _may_add(key, nodes)
        ):
            raise unknown_key(composer, override, nodes)


def flatten(config: DictConfig) -> dict[str, object]:
    """Every node of `config` by its dotted key, unresolved; mappings too, lists whole."""
    found: dict[str, object] = {}
    waiting: list[tuple[str, DictConfig]] = [("", config)]
    while waiting:
        prefix, node = waiting.pop()
        for name in node:
            key = f"{prefix}{name}"
            child = node._get_node(name)
            found[key] = child
            if isinstance(child, DictConfig) and not child._is_none() and not child._is_interpolation():
                waiting.append((f"{key}.", child))
    return found


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The one of `known` that was most likely meant by `name`, or None."""
    return next(iter(get_close_matches(name, list(known), n=1, cutoff=0.6)), None)


def unknown_key(composer: Composer, override: Override, nodes: dict[str, object]) -> UserError:
    """The error for a key that does not exist, with the key, group or file that was most likely meant."""
    key, value = override.key_or_group, override.get_value_element_as_str()
    leaves = [
        name for name, node in nodes.items() if not isinstance(node, DictConfig) and "_target_" not in name
    ]
    word = override.input_line
    for group, choices in pages.groups(composer.config_dir).items():
        inner = key.removeprefix(f"{group}.")
        if group == "experiment" or (inner == key and ("." in key or f"{group}.{key}" in nodes)):
            continue
        having = [
            c for c in choices if inner in {k.name for k in pages.all_keys(group, c, composer.config_dir)}
        ]
        if having:
            return UserError(
                key, word, f"a key of the chosen {group}", hint=f"{group}={having[0]} has {group}.{inner}"
            )
    if "." not in key:
        group = nearest(key, composer.groups())
        if group is not None and value in composer.choices(group):
            return UserError(key, word, "a key or a group that exists", hint=f"did you mean {group}={value}?")
        same = sorted((name for name in leaves if name.rpartition(".")[2] == key), key=lambda n: n.count("."))
        if same and same[0].count(".") == 1:
            return UserError(key, word, "a key that exists", hint=f"did you mean {' or '.join(same[:3])}?")
        for task in pages.tasks(composer.config_dir):
            root = pages.find("", task, composer.config_dir)
            if task != composer.task and root and key in {k.name for k in pages.keys(root)}:
                return UserError(
                    key, word, f"a key of task={composer.task}", hint=f"{key} belongs to task={task}"
                )
        if same:
            return UserError(key, word, "a key that exists", hint=f"did you mean {' or '.join(same[:3])}?")
        if group is not None:
            return UserError(key, word, "a key or a group that exists", hint=f"did you mean {group}=...?")
    meant = nearest(key, leaves) or nearest(key.rpartition(".")[2], [n for n in leaves if "." not in n])
    meant = meant or next((n for n in leaves if n.rpartition(".")[2] == key.rpartition(".")[2]), None)
    hint = (
        f"did you mean {meant}?" if meant else "genimg-train --help lists the keys, --cfg job prints them all"
    )
    source = composer.source_of(meant, []) if meant else None
    return UserError(key, word, "a key that exists", hint=hint, default_in=source)


def _may_add(key: str, nodes: dict[str, object]) -> bool:
    """Behind `+`: a key that exists, a part of an open mapping, or an argument of a class that is not ours."""
    if key in nodes or key.split(".")[0] in OPEN:
        return True
    while "." in key:
        key = key.rpartition(".")[0]
        node = nodes.get(key)
        if isinstance(node, DictConfig) and "_target_" in node:
            return not str(node._get_node("_target_")).startswith("genimg.")
    return False


def _check_removable(composer: Composer, key: str, nodes: dict[str, object]) -> None:
    if key not in nodes:
        meant = nearest(key, nodes)
        raise UserError(
            f"~{key}", None, "a key that exists", hint=f"did you mean ~{meant}?" if meant else None
        )
    if "." not in key or key.split(".")[0] not in OPEN:
        raise UserError(
            f"~{key}",
            None,
            f"only parts of {' and '.join(OPEN[:2])} can be taken away",
            hint=f"give it a value instead: {key}=...",
            default_in=composer.source_of(key, []),
        )


def _unknown_choice(composer: Composer, group: str, choice: str, known: list[str]) -> UserError:
    meant = nearest(choice, known)
    elsewhere = next((g for g in composer.groups() if g != group and choice in composer.choices(g)), None)
    hint = f"did you mean {group}={meant}?" if meant else None
    if meant is None and elsewhere is not None:
        hint = f"did you mean {elsewhere}={choice}?"
    expected = "one of " + ", ".join(known) if known else "a choice; there is none yet"
    root = pages.find("", composer.task, composer.config_dir)
    in_root = root is not None and any(g == group for g, _ in pages.defaults(root))
    return UserError(group, choice, expected, hint, f"configs/{composer.task}.yaml" if in_root else None)
