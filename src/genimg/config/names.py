"""Checks that the keys on the command line and in experiments exist, and finds the nearest key for a misspelt one."""

from __future__ import annotations

import codecs
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from genimg.common.errors import UserError, nearest
from genimg.common.reading import read_yaml
from genimg.common.rules import takes_names
from genimg.config import yaml_text as pages
from genimg.config.compose import Composer, line
from genimg.config.flags import SEARCH
from genimg.config.hydra_api import Override, flatten
from genimg.config.vocabulary import our_key, without_key

# mappings that `+callbacks.mine._target_=...` may add to and `~callbacks.samples` may remove from
OPEN = ("callbacks", "logger", "hydra")

_OF_THE_ROOT = ("experiment", SEARCH)  # groups whose files set keys of the whole run
_GLOBAL = "# @package _global_"  # places the keys of an experiment at the root, instead of below `experiment`


def check_keys(composer: Composer, overrides: list[Override], nodes: dict[str, object]) -> None:
    """Checks that every key exists in `nodes` (see `flatten`), and that `+` and `~` change open mappings only."""
    nodes = _with_classes(nodes, {override.key_or_group: override.value() for override in overrides})
    for override in overrides:
        key = override.key_or_group
        if override.is_delete():
            _check_removable(composer, key, nodes)
        elif key not in nodes and not (line(override).startswith("+") and _is_open(key, nodes)):
            raise unknown_key(composer, override, nodes)
        elif isinstance(given := override.value(), dict) and not (key.split(".")[0] in OPEN or takes_names(key)):
            for name in given:
                if f"{key}.{name}" not in nodes and not _is_open(f"{key}.{name}", nodes):
                    meant = nearest(f"{key}.{name}", nodes)
                    hint = f"did you mean {meant}?" if meant else None
                    raise UserError(f"{key}.{name}", line(override), "an existing key", hint)


def check_own_files(composer: Composer, overrides: list[Override]) -> None:
    """Checks that the YAML of a task is not replaced in part, and that experiments set keys of the whole run."""
    if composer.config_dir is None:
        return
    name = f"{composer.task}.yaml"
    replacement, ours = composer.config_dir / name, pages.find("", composer.task, None)
    if replacement.is_file() and ours is not None:
        given = {key.name for key in pages.keys(replacement)}
        missing = [key.name for key in pages.keys(ours) if "." not in key.name and key.name not in given]
        if missing:
            expected = f"a complete copy of configs/{name}, which it replaces; it has no {', '.join(missing)}"
            hint = f"move its settings to experiment/NAME.yaml, with {_GLOBAL} as its first line"
            raise UserError("--config-dir", replacement, expected, hint)
    for override in overrides:
        group = override.key_or_group
        path = pages.find(group, str(override.value()), composer.config_dir) if group in _OF_THE_ROOT else None
        if path is not None:
            _check_own_file(group, path)


def _check_own_file(group: str, path: Path) -> None:
    try:
        page = read_yaml(path)
        text = path.read_bytes()
    except (ValueError, OSError) as error:
        raise UserError(group, path, f"a YAML file of settings: {error}") from error
    # Hydra reads it only before every other comment
    header = next((line for line in text.splitlines() if line.strip()), b"")
    if text.startswith(codecs.BOM_UTF8):
        raise UserError(group, path, "UTF-8 without a byte order mark", "save it again without the mark")
    if not isinstance(page, dict):
        raise UserError(group, path, f"a mapping of settings, not a {type(page).__name__}", "key: value")
    if header.split() != _GLOBAL.encode().split():
        raise UserError(group, path, "settings of the whole run", f"make its first line {_GLOBAL}")
    if group == SEARCH:
        _check_search(path, page)
        return
    hydra = page.get("hydra")
    sweeper = hydra.get("sweeper") if isinstance(hydra, dict) else None
    if isinstance(sweeper, dict) and "params" in sweeper:
        hint = "for one run per value: -m key=1,2"
        raise UserError("hydra.sweeper.params", path, f"values of a sweep in {SEARCH}/NAME.yaml", hint)


def _check_search(path: Path, page: dict[object, object]) -> None:
    """Checks that a search has settings of the sweep only: those of its runs are in their own folders too."""
    for key in page:
        if key not in ("defaults", "hydra"):
            hint = without_key(str(key)) or f"hydra.sweeper.params.{key}, or an experiment beside {SEARCH}="
            raise UserError(str(key), path, "settings of the sweep, below hydra", hint)
    entries = page.get("defaults") or []
    for entry in entries if isinstance(entries, list) else [entries]:
        name = str(next(iter(entry)) if isinstance(entry, dict) else entry)
        if name != "_self_" and not name.removeprefix("override").strip().startswith("/hydra/"):
            hint = f"hydra.sweeper.params.{name.removeprefix('override').strip(' /')}"
            raise UserError("defaults", path, f"choices of /hydra/..., not {name}", hint)


def check_experiments(composer: Composer, overrides: list[Override], chosen: DictConfig) -> None:
    """Checks that the keys an experiment sets exist without it, in the groups that it chooses.

    chosen: the configuration composed with the experiment, in which a misspelt key exists.
    """
    experiments = [o for o in overrides if o.key_or_group == "experiment" and isinstance(o.value(), str)]
    if not experiments:
        return
    choices = chosen.hydra.runtime.choices.items()
    plain = composer.compose([f"{g}={c}" for g, c in choices if c and not str(g).startswith(("hydra", "experiment"))])
    nodes = flatten(plain)
    for override in experiments:
        path = pages.find("experiment", str(override.value()), composer.config_dir)
        page = OmegaConf.load(path) if path is not None else None
        given = flatten(page) if isinstance(page, DictConfig) else {}
        open_to = _with_classes(nodes, {o.key_or_group: o.value() for o in overrides} | given)
        for key in given:
            if key != "defaults" and key not in nodes and not _is_open(key, open_to):
                meant = nearest(key, nodes)
                hint = without_key(key) or (f"did you mean {meant}?" if meant else None)
                raise UserError(key, None, "an existing key", hint, str(path))


def _having(key: str, group: str, composer: Composer) -> list[str]:
    """The choices of a group that have a key."""
    config_dir = composer.config_dir
    choices = pages.groups(config_dir)[group]
    return [choice for choice in choices if key in {one.name for one in pages.all_keys(group, choice, config_dir)}]


def _inside(group: str, key: str, composer: Composer) -> tuple[str, list[str]] | None:
    """The first group inside `group` with choices that set a key of it, and these choices."""
    inside = [name for name in pages.groups(composer.config_dir) if name.startswith(f"{group}/")]
    return next(((name, having) for name in inside if (having := _having(key, name, composer))), None)


def unknown_key(composer: Composer, override: Override, nodes: dict[str, object]) -> UserError:
    """The error for a key that does not exist, with the nearest key, group or task."""
    key, value = override.key_or_group, override.get_value_element_as_str()
    leaves = [name for name, node in nodes.items() if not isinstance(node, DictConfig) and "_target_" not in name]
    word = override.input_line
    if hint := without_key(key):
        return UserError(key, word, "an existing key", hint)
    ours = our_key(key) or key
    beside = f"{key.rpartition('.')[0]}.{ours.rpartition('.')[2]}"  # model.generator_optimizer.learning_rate
    if (ours := beside if beside in leaves else ours) in leaves:
        return UserError(key, word, "an existing key", f"did you mean {ours}?", composer.source_of(ours, []))
    in_a_group = any(name.count(".") == 1 and name.endswith(f".{ours}") for name in leaves)
    for group, choices in pages.groups(composer.config_dir).items():
        inner = ours.removeprefix(f"{group}.")
        if group in _OF_THE_ROOT or (inner == ours and ("." in ours or in_a_group)):
            continue
        having = _having(inner, group, composer)
        if having and group not in composer.chosen_groups():
            return UserError(key, word, f"a key of task={composer.task}", missing_group_hint(composer, group))
        if having:
            described = [choice for choice in having if f"{group}.{inner}=" in choices[choice]]
            chosen, owners = group, described or having
            if nodes.get(f"{group}.name") in having:  # with another choice of a group inside it
                chosen, owners = _inside(group, inner, composer) or (chosen, owners)
            meant = " or ".join(f"{chosen}={choice}" for choice in owners[:3])
            return UserError(key, word, f"a key of the chosen {chosen}", hint=f"{group}.{inner} belongs to {meant}")
    if "." not in key:
        group = nearest(key, composer.groups())
        if group is not None and value in composer.choices(group):
            return UserError(key, word, "an existing key or group", hint=f"did you mean {group}={value}?")
        same = sorted((name for name in leaves if name.rpartition(".")[2] == key), key=lambda n: n.count("."))
        if same and same[0].count(".") == 1:
            return UserError(key, word, "an existing key", hint=f"did you mean {' or '.join(same[:3])}?")
        if tasks := _tasks_with(key, composer):
            return UserError(key, word, f"a key of task={composer.task}", hint=f"{key} belongs to {tasks}")
        if same:
            return UserError(key, word, "an existing key", hint=f"did you mean {' or '.join(same[:3])}?")
        if group is not None:
            return UserError(key, word, "an existing key or group", hint=f"did you mean {group}=...?")
    meant = nearest(key, leaves) or nearest(key.rpartition(".")[2], [n for n in leaves if "." not in n])
    meant = meant or next((n for n in leaves if n.rpartition(".")[2] == key.rpartition(".")[2]), None)
    hint = f"did you mean {meant}?" if meant else "genimg-train --help lists the keys, --cfg job prints them all"
    source = composer.source_of(meant, []) if meant else None
    return UserError(key, word, "an existing key", hint=hint, default_in=source)


def missing_group_hint(composer: Composer, group: str) -> str:
    """The hint for a group that the task does not have."""
    if chosen := composer.chosen_groups():
        return f"the groups are {', '.join(chosen)}"
    return f"remove it: task={composer.task} takes its {group} from the run"


def _tasks_with(key: str, composer: Composer) -> str:
    """The other tasks whose root YAML has `key`, as `task=evaluate and task=sample`."""
    roots = {task: pages.find("", task, composer.config_dir) for task in pages.tasks(composer.config_dir)}
    having = [task for task, root in roots.items() if root and key in {one.name for one in pages.keys(root)}]
    return " and ".join(f"task={task}" for task in having if task != composer.task)


def _with_classes(nodes: dict[str, object], given: dict[str, object]) -> dict[str, object]:
    """`nodes` with the `_target_` values of `given`, a mapping of keys to values."""
    return nodes | {key: value for key, value in given.items() if key in nodes and key.endswith("._target_")}


def _is_open(key: str, nodes: dict[str, object]) -> bool:
    """Whether `+` may add and `~` may remove `key`: in an open mapping, or an argument of a user-defined class.

    A mapping that is empty by default is open: it takes the class of another package with its arguments.
    """
    if key.split(".")[0] in OPEN:
        return True
    while "." in key:
        key = key.rpartition(".")[0]
        if isinstance(node := nodes.get(key), DictConfig) and len(node) == 0:
            return True
        if f"{key}._target_" in nodes:
            return not str(nodes[f"{key}._target_"]).startswith("genimg.")
    return False


def _check_removable(composer: Composer, key: str, nodes: dict[str, object]) -> None:
    if key not in nodes:
        meant = nearest(key, nodes)
        raise UserError(f"~{key}", None, "an existing key", hint=f"did you mean ~{meant}?" if meant else None)
    if "." not in key or not _is_open(key, nodes) or key.rpartition(".")[2].startswith("_"):
        raise UserError(
            f"~{key}",
            None,
            f"a key in {' or '.join(OPEN[:2])}, or an argument of a class from outside genimg",
            hint=f"set it instead: {key}=...",
            default_in=composer.source_of(key, []),
        )
