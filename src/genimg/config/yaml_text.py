"""Reads the YAML files as text, for help and completion, without importing Hydra, OmegaConf or PyYAML.

Only lines of the form `key: value  # comment` are parsed. Composition parses the same files completely.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import import_module
from itertools import chain
from pathlib import Path
from typing import NamedTuple

_LINE = re.compile(r"""( *)([\w@/.]+):(?: +("[^"]*"|'[^']*'|[^\s#].*?))?(?:\s+#\s*(.*?))?\s*""")
_DEFAULT = re.compile(r"\s*-\s*(?:override\s+)?/?([\w/]+)(?:@[\w.]+)?(?::\s*([\w/-]+))?\s*(?:#.*)?")
_SELF_FIRST = re.compile(r"^defaults:(?: *\[|\n *- )_self_\b", re.MULTILINE)
_FLOW = re.compile(r"^defaults: *\[([\w, ]*)\]", re.MULTILINE)


class Key(NamedTuple):
    """One line of a YAML file: the dotted key, the default as written, and the comment."""

    name: str
    default: str  # "" for a mapping
    comment: str


def folders(config_dir: Path | None) -> list[Path]:
    """The folders of YAML files, the user's first."""
    packaged = Path(import_module("genimg.configs").__path__[0])
    return [packaged] if config_dir is None else [config_dir, packaged]


def tasks(config_dir: Path | None) -> dict[str, str]:
    """Each task (a root YAML file) with its description, `train` first."""
    found = _choices("", config_dir)
    return {"train": found["train"], **found}


def groups(config_dir: Path | None) -> dict[str, dict[str, str]]:
    """Each group with its choices and their descriptions."""
    names: set[str] = set()
    for folder in folders(config_dir):
        names |= {path.parent.relative_to(folder).as_posix() for path in folder.glob("*/**/*.yaml")}
    found = {name: _choices(name, config_dir) for name in sorted(names) if not name.startswith((".", "_"))}
    return {name: choices for name, choices in found.items() if choices}


def find(group: str, choice: str, config_dir: Path | None) -> Path | None:
    """The file of a choice, or of a task if `group` is empty."""
    files = (folder / group / f"{choice}.yaml" for folder in folders(config_dir))
    return next((file for file in files if file.is_file()), None)


def keys(path: Path) -> list[Key]:
    """The keys of one file in order, without its defaults list."""
    found: list[Key] = []
    parents: list[tuple[int, str]] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        match = _LINE.fullmatch(line)
        if match is None:
            continue
        indent, name = len(match[1]), match[2]
        while parents and parents[-1][0] >= indent:
            parents.pop()
        parents.append((indent, name))
        dotted = ".".join(part for _, part in parents)
        if dotted != "defaults":
            found.append(Key(dotted, match[3] or "", match[4] or ""))
    return found


def defaults(path: Path) -> Iterator[tuple[str, str | None]]:
    """The entries of a file's defaults list: (group, choice), or (file of the same folder, None)."""
    inside = False
    if flow := _FLOW.search(path.read_text(encoding="utf-8")):  # defaults: [_shared, _self_]
        yield from ((name.strip(), None) for name in flow[1].split(",") if name.strip() != "_self_")
        return
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("defaults:"):
            inside = True
        elif inside and (match := _DEFAULT.fullmatch(line)):
            if match[1] != "_self_":
                yield match[1], match[2]
        elif inside and line.strip() and not line.lstrip().startswith("#"):
            return


def all_keys(group: str, choice: str, config_dir: Path | None) -> list[Key]:
    """The keys of a choice and of the files in its defaults list. Later files take precedence, as in composition; a key
    without a comment takes that of another file."""
    path = find(group, choice, config_dir)
    if path is None:
        return []
    inherited = [_inherited(group, name, chosen, config_dir) for name, chosen in defaults(path)]
    ordered = [keys(path), *inherited] if _is_overridden(path) else [*inherited, keys(path)]
    found: dict[str, Key] = {}
    for key in chain.from_iterable(ordered):
        found[key.name] = key._replace(comment=key.comment or found.get(key.name, key).comment)
    return list(found.values())


def _inherited(group: str, name: str, choice: str | None, config_dir: Path | None) -> list[Key]:
    """The keys of one entry of a defaults list: a file of `group`, or a choice of a group inside it."""
    if choice is None:
        return all_keys(group, name, config_dir)
    if f"{group}/{name}" not in groups(config_dir):
        return []
    prefix = "" if _is_merged(group, name, choice, config_dir) else f"{name}."
    return [key._replace(name=f"{prefix}{key.name}") for key in all_keys(f"{group}/{name}", choice, config_dir)]


def _is_overridden(path: Path) -> bool:
    """Whether the files in the defaults list override the file itself, because `_self_` is the first entry."""
    return _SELF_FIRST.search(path.read_text(encoding="utf-8")) is not None


def _is_merged(group: str, name: str, choice: str, config_dir: Path | None) -> bool:
    """Whether a file of a nested group sets keys of the outer group (`# @package GROUP`)."""
    path = find(f"{group}/{name}", choice, config_dir)
    return path is not None and path.read_text(encoding="utf-8").startswith(f"# @package {group}\n")


def _choices(group: str, config_dir: Path | None) -> dict[str, str]:
    files = {file.stem: file for folder in reversed(folders(config_dir)) for file in (folder / group).glob("*.yaml")}
    return {name: _headline(files[name]) for name in sorted(files) if not name.startswith("_")}


def _headline(path: Path) -> str:
    """The first comment line of a file that is not a package directive."""
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        if line.startswith("#") and not line.startswith("# @package"):
            return line.lstrip("# ").strip()
        if line.strip() and not line.startswith("#"):
            break
    return ""
