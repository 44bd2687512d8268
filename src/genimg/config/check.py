"""Turns the words of the command line into a configuration that will run, or into one message that says why not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from genimg.common import ranks
from genimg.common.errors import UserError
from genimg.common.hardware import count_gpus
from genimg.common.nodes import parts
from genimg.common.quoting import quoted
from genimg.config import choices as groups
from genimg.config import names, values
from genimg.config.compose import Composer, line, without_hydra
from genimg.config.cross_checks import Check
from genimg.config.hydra_api import flatten
from genimg.config.resume import merged, resumed_run, starting_choices
from genimg.config.saved import MOVABLE


def check(
    composer: Composer, words: list[str], checks_of: Callable[[str], Sequence[Check]], on_this_machine: bool = True
) -> DictConfig:
    """Composes the configuration, its `hydra` node included, and runs every check.

    Args:
        checks_of: the checks that a task declares.
        on_this_machine: whether to check folders, runs and devices too, and to resolve run=, runs= and
            trainer.devices=auto. resume= is always resolved, because the configuration comes from the run.

    Raises:
        UserError: if a check fails.
    """
    groups.check_words(composer, words)
    overrides = composer.parse(words)
    for override in overrides:
        if override.is_sweep_override():
            raise UserError(
                override.key_or_group,
                line(override).partition("=")[2],
                "one value",
                hint="for one run per value: -m; for a list: [a,b]; for text with a comma: quotes",
            )
    names.check_own_files(composer, overrides)
    run = resumed_run(overrides, composer)
    choices, settings = groups.split(composer, overrides)
    groups.check_choices(composer, choices)
    began = [] if run is None else starting_choices(run, composer, overrides)
    defaults = composer.defaults([*began, *map(line, choices)])
    names.check_experiments(composer, overrides, defaults)
    nodes = flatten(without_hydra(defaults)) | ({} if run is None else dict.fromkeys(MOVABLE))
    names.check_keys(composer, settings, nodes)
    values.check_types(settings, nodes, defaults)
    config = (
        composer.compose(words) if run is None else merged(composer, run, overrides, composer.defaults(began), defaults)
    )
    checks = checks_of(str(config.get("task")))
    unresolved = cast(dict[str, Any], OmegaConf.to_container(without_hydra(config)))
    for one in checks:
        if one.unresolved:
            one.function(unresolved)
    nodes = flatten(without_hydra(config))
    with open_dict(config):
        values.convert_types(config, overrides, nodes)
    values.check_rules(composer, [*began, *words], config, nodes)
    if on_this_machine:
        if "trainer" in config:
            ranks.check()
        count_devices(config)
    plain = _plain(config)
    for one in checks:
        if not one.unresolved and (on_this_machine or not one.needs_machine):
            for key, value in (one.function(plain) or {}).items():
                _check_text(key, value)
                config[key] = value
    return config


def count_devices(config: DictConfig) -> None:
    """Replaces trainer.devices=auto by a number: the processes that torchrun or srun has started on each machine, else
    the GPUs of this machine, else 1.
    """
    if "trainer" not in config or config.trainer.devices != "auto":
        return
    here = 1 if config.trainer.accelerator == "cpu" else count_gpus()
    started = ranks.world_size() // config.trainer.num_nodes
    config.trainer.devices = max(1, started if ranks.is_distributed() else here)


def with_resolved_run(composer: Composer, words: list[str], config: DictConfig) -> list[str]:
    """`words` with the absolute paths that `check` found for resume= and init_from=, which mean the same runs later."""
    resolved = []
    for word, override in zip(words, composer.parse(words), strict=True):
        key = override.key_or_group
        found = key in ("resume", "init_from") and config[key] is not None
        resolved.append(f"{key}={quoted(config[key])}" if found else word)
    return resolved


def _plain(config: DictConfig) -> dict[str, Any]:
    """The resolved configuration, as the worker reads it. Raises UserError for a value that does not resolve."""
    try:
        plain = cast(dict[str, Any], OmegaConf.to_container(without_hydra(config), resolve=True))
    except OmegaConfBaseException as error:
        key = getattr(error, "full_key", None) or "configuration"
        raise UserError(str(key), None, f"a value that resolves: {str(error).splitlines()[0]}") from error
    for key, value in sorted(parts(plain), key=lambda one: one[0].count(".")):
        _check_text(key, value)
    return plain


def _check_text(key: str, value: object) -> None:
    """Raises UserError for text that OmegaConf would resolve a second time."""
    for one in value if isinstance(value, list) else [value]:
        if isinstance(one, str) and "${" in one:
            raise UserError(key, one, "text without ${, which refers to another key", "rename it")
