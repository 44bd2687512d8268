"""Words and choices on the command line: is each `key=value`, and does its group have that choice?"""

from __future__ import annotations

from hydra.core.override_parser.types import Override

from genimg.common.errors import UserError
from genimg.config import yaml_text as pages
from genimg.config.compose import Composer, line
from genimg.config.flags import FLAGS
from genimg.config.names import elsewhere, nearest


def check_words(composer: Composer, words: list[str]) -> None:
    """Every word is `key=value` or `~key`."""
    for word in words:
        if (word.startswith("~") or "=" in word) and word.lstrip("+~").split("=")[0]:
            continue
        groups = [group for group in composer.groups() if word in composer.choices(group)]
        hint = f"did you mean {groups[0]}={word}?" if groups else f"did you mean {word.strip('=+~') or 'KEY'}=VALUE?"
        tasks = pages.tasks(composer.config_dir)
        if word in tasks:
            hint = f"one task at a time: genimg {word} ..."
        elif word == words[0] and (task := nearest(word, tasks)):
            hint = f"did you mean genimg {task}?"
        elif f"--{word}" in FLAGS:
            hint = f"did you mean --{word}?"
        raise UserError(word, None, "key=value, without spaces around '='", hint=hint)


def split(composer: Composer, overrides: list[Override]) -> tuple[list[Override], list[Override]]:
    """(choices of groups and Hydra's own settings, values of keys)."""
    chooses = [composer.is_group(o.key_or_group) or o.key_or_group.split(".")[0] == "hydra" for o in overrides]
    groups = [override for override, is_choice in zip(overrides, chooses, strict=True) if is_choice]
    return groups, [override for override, is_choice in zip(overrides, chooses, strict=True) if not is_choice]


def check_choices(composer: Composer, overrides: list[Override]) -> None:
    """Every group is one of the task's and has the choice that is asked of it."""
    of_task = composer.chosen_groups()
    for override in overrides:
        group = override.key_or_group
        known = composer.choices(group)
        if not composer.is_group(group) or override.is_sweep_override():
            continue
        if override.is_delete():
            hint = f"{group}=none" if "none" in known else f"choose another: {group}={known[0] if known else 'null'}"
            raise UserError(f"~{group}", None, "a group keeps one of its choices", hint)
        if "/" not in group and group not in of_task:
            raise UserError(group, line(override), f"a key of task={composer.task}", elsewhere(composer, group))
        if group in of_task and (override.is_add() or override.is_force_add()):
            raise UserError(group, line(override), "one choice, in place of the default", line(override).lstrip("+"))
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
    expected = "one of " + ", ".join(known) if known else "a choice; there is none yet"
    in_root = group in composer.chosen_groups()
    return UserError(group, choice or "nothing", expected, hint, f"configs/{composer.task}.yaml" if in_root else None)
