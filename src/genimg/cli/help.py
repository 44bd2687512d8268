"""The text of --help, generated from the YAML files."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from genimg.config import yaml_text as pages

USAGE = """\
usage: genimg-train [task=TASK] [GROUP=CHOICE ...] [KEY=VALUE ...] [flags]
       genimg TASK KEY=VALUE ..."""

EXAMPLES = """\
examples:
  genimg-train                                            train a GAN on handwritten digits for 2 minutes
  genimg-train model=vae data=image_folder data.root=IMAGES data.image_size=64
  genimg-train model=rnn budget.minutes=10 dry_run=true   print the size, speed and memory of a run
  genimg sample run=last num_images=64 seed=1             draw images from the newest run"""

# keys that mean the same with every model and data set; their comments come from the chosen YAML files
COMMON = {
    "model": ("lr", "latent_dim", "width", "conditional"),
    "data": ("batch_size", "image_size", "channels", "root"),
    "trainer": ("accelerator", "devices", "precision", "threads"),
}


def text(task: str | None, words: Sequence[str], flags: dict[str, str], config_dir: Path | None) -> str:
    """The help text, with the keys of `task`. `words` are the command line: the choices in it select the keys."""
    choices = pages.groups(config_dir)
    given = (word.lstrip("+").partition("=") for word in words)
    chosen = {group: choice for group, _, choice in given if group in COMMON and choice in choices.get(group, {})}
    if task not in (None, "train"):
        chosen = {}  # the other tasks take the model and the data from a run
    known = pages.tasks(config_dir)
    parts = [USAGE, _section("tasks: task=...", [(name, line) for name, line in known.items()])]
    if task in (None, "train"):
        for name, lines in choices.items():
            parts.append(_section(f"{name}=...", list(lines.items())))
    title = " ".join([f"keys of task={task or 'train'}", *(f"{group}={choice}" for group, choice in chosen.items())])
    parts.append(_section(title, _keys(task or "train", chosen, config_dir)))
    parts.append(
        _section(
            "flags",
            [*flags.items(), ("hydra.KEY=...", "with -m: settings of Hydra, for example hydra/launcher=joblib")],
        )
    )
    parts.append(EXAMPLES)
    return "\n\n".join(parts)


def _keys(task: str, chosen: dict[str, str], config_dir: Path | None) -> list[tuple[str, str]]:
    """`key=default` and its comment, for the keys of the root YAML and the common keys of its groups."""
    root = pages.find("", task, config_dir)
    assert root is not None  # the task was looked up among the root files
    shown = [key for key in pages.keys(root) if key.default and key.name != "task"]
    for group, choice in _choices(root, chosen, config_dir).items():
        found = {key.name: key for key in pages.all_keys(group, choice, config_dir)} if choice else {}
        shown += [found[name]._replace(name=f"{group}.{name}") for name in COMMON.get(group, ()) if name in found]
    # the comment describes a computed default
    return [(f"{key.name}={'...' if '${' in key.default else key.default}", key.comment) for key in shown]


def _choices(root: Path, chosen: dict[str, str], config_dir: Path | None) -> dict[str, str | None]:
    """The choice of each group: the one on the command line, else the one another choice picks (model=rnn picks its
    data), else the default."""
    choices = dict(pages.defaults(root)) | chosen
    for group, choice in list(choices.items()):
        page = pages.find(group, choice, config_dir) if choice else None
        picked = dict(pages.defaults(page)) if page else {}
        choices |= {name: pick for name, pick in picked.items() if pick and name in COMMON and name not in chosen}
    return choices


def _section(title: str, rows: list[tuple[str, str]]) -> str:
    width = min(max((len(name) for name, _ in rows), default=0), 34)
    columns = max(shutil.get_terminal_size((110, 24)).columns, 80)
    lines = [title]
    for name, words in rows:
        lines += _wrapped(f"  {name:<{width}}  ", words, columns)
    return "\n".join(lines)


def _wrapped(start: str, words: str, columns: int) -> list[str]:
    """`start` followed by `words`, wrapped at `columns`."""
    lines, indent = [start], " " * min(len(start), 38)
    for word in words.split():
        if len(lines[-1]) + len(word) > columns and lines[-1].strip():
            lines.append(indent)
        lines[-1] += f"{word} "
    return [line.rstrip() for line in lines]
