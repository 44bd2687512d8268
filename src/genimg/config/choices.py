"""Checks the words of the command line, the choices of groups, and which of Hydra's own keys are read."""

from __future__ import annotations

from genimg.common.errors import UserError, nearest
from genimg.config import yaml_text as pages
from genimg.config.compose import Composer, line
from genimg.config.flags import FLAGS, SEARCH
from genimg.config.hydra_api import Override
from genimg.config.names import missing_group_hint
from genimg.config.vocabulary import ABSENT

_SWEEP_KEYS = (SEARCH, "sweep.", "hydra/launcher", "hydra/sweeper", "hydra.launcher", "hydra.sweep")


def check_words(composer: Composer, words: list[str]) -> None:
    """Checks that every word is `key=value` or `~key`."""
    for word in words:
        if (word.startswith("~") or "=" in word) and word.lstrip("+~").split("=")[0]:
            continue
        groups = [group for group in composer.groups() if word in composer.choices(group)]
        hint = f"did you mean {groups[0]}={word}?" if groups else f"did you mean {word.strip('=+~') or 'KEY'}=VALUE?"
        tasks = pages.tasks(composer.config_dir)
        if word in tasks:
            hint = f"run one task at a time: genimg {word} ..."
        elif word == words[0] and (task := nearest(word, tasks)):
            hint = f"did you mean genimg {task}?"
        elif f"--{word}" in FLAGS:
            hint = f"did you mean --{word}?"
        raise UserError(word, None, "key=value, without spaces around '='", hint=hint)


def split(composer: Composer, overrides: list[Override]) -> tuple[list[Override], list[Override]]:
    """Splits overrides into (choices of groups and Hydra's own settings, values of keys)."""
    chooses = [composer.is_group(o.key_or_group) or o.key_or_group.split(".")[0] == "hydra" for o in overrides]
    groups = [override for override, is_choice in zip(overrides, chooses, strict=True) if is_choice]
    return groups, [override for override, is_choice in zip(overrides, chooses, strict=True) if not is_choice]


def check_choices(composer: Composer, overrides: list[Override]) -> None:
    """Checks that every group belongs to the task and has the given choice."""
    of_task = composer.chosen_groups()
    for override in overrides:
        group = override.key_or_group
        known = composer.choices(group)
        if not composer.is_group(group) or override.is_sweep_override():
            continue
        if override.is_delete():
            hint = f"{group}=none" if "none" in known else f"choose another: {group}={known[0] if known else 'null'}"
            raise UserError(f"~{group}", None, "one choice for each group", hint)
        if "/" not in group and group not in of_task:
            raise UserError(
                group, line(override), f"a key of task={composer.task}", missing_group_hint(composer, group)
            )
        if group in of_task and line(override).startswith("+"):
            raise UserError(
                group, line(override), "a choice without +, which replaces the default", line(override).lstrip("+")
            )
        value = override.value()
        for choice in value if isinstance(value, list) else [value]:
            if str(choice) not in known:
                raise _unknown_choice(composer, group, "null" if choice is None else str(choice), known)


def _unknown_choice(composer: Composer, group: str, choice: str, known: list[str]) -> UserError:
    meant = nearest(choice, known)
    elsewhere = next((g for g in composer.groups() if g != group and choice in composer.choices(g)), None)
    hint = f"did you mean {group}={meant}?" if meant else None
    if meant is None and elsewhere is not None:
        hint = f"did you mean {elsewhere}={choice}?"
    hint = ABSENT.get(group, {}).get(choice.lower(), hint)
    expected = "one of " + ", ".join(known) if known else "a choice; this group has none yet"
    in_root = group in composer.chosen_groups()
    return UserError(group, choice or "nothing", expected, hint, f"configs/{composer.task}.yaml" if in_root else None)


def check_run_keys(override: Override) -> None:
    """Raises UserError for a key that only a sweep reads, and for a key of Hydra that a single run does not read."""
    key = override.key_or_group
    if key.startswith(_SWEEP_KEYS):
        raise UserError(key, line(override), "-m beside it; only a sweep reads this key")
    if key.startswith("hydra") and key != "hydra.searchpath":
        raise UserError(key, line(override), "not set; a single run does not read it")


def check_sweep_keys(override: Override, sweeper: str) -> None:
    """Raises UserError for a key that a sweep with this sweeper does not read."""
    key = override.key_or_group
    if key == "run_dir":
        folder = line(override).partition("=")[2]
        raise UserError("run_dir", folder, "not set; a sweep has its own folder", f"hydra.sweep.dir={folder}")
    if sweeper == "basic" and key.startswith(("hydra.sweeper.", "hydra/sweeper/")) and key != "hydra.sweeper.params":
        raise UserError(key, line(override), "hydra/sweeper=optuna beside it, which reads this key")
    if sweeper == "optuna" and key == "hydra.sweep.subdir":
        raise UserError(key, None, "not set; a search names the folders of its trials")
