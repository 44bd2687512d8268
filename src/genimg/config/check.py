"""From the words of the command line to a configuration that will run, or one message that says why not."""

from __future__ import annotations

from typing import Any, cast

from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from genimg.common import ranks
from genimg.common.build import parts
from genimg.common.errors import UserError
from genimg.common.hardware import count_gpus
from genimg.config import choices as groups
from genimg.config import names, values
from genimg.config.compose import Composer, line, without_hydra
from genimg.config.cross_checks import cross_check
from genimg.config.resume import began_with, merged, resumed_run
from genimg.config.saved import MOVABLE


def check(composer: Composer, words: list[str], on_this_machine: bool = True) -> DictConfig:
    """The composed configuration (its `hydra` node included), with every check passed.

    on_this_machine: also what depends on the machine: folders, runs, devices. Raises UserError.
    """
    groups.check_words(composer, words)
    overrides = composer.parse(words)
    for override in overrides:
        if override.is_sweep_override():
            raise UserError(
                override.key_or_group,
                line(override).partition("=")[2],
                "one value",
                hint="for one run each: -m; for a list: [a,b]; for text with a comma: quotes",
            )
    run = resumed_run(overrides, composer)
    choices, settings = groups.split(composer, overrides)
    groups.check_choices(composer, choices)
    began = [] if run is None else began_with(run, composer, overrides)
    defaults = composer.defaults([*began, *map(line, choices)])
    names.check_experiments(composer, overrides, defaults)
    nodes = names.flatten(without_hydra(defaults)) | ({} if run is None else dict.fromkeys(MOVABLE))
    names.check_keys(composer, settings, nodes)
    values.check_types(settings, nodes, defaults)
    config = (
        composer.compose(words) if run is None else merged(composer, run, overrides, composer.defaults(began), defaults)
    )
    user_part = without_hydra(config)
    nodes = names.flatten(user_part)
    with open_dict(config):
        values.as_meant(config, overrides, nodes)
    values.check_rules(composer, [*began, *words], config, nodes)
    if on_this_machine:
        if "trainer" in config:
            ranks.check()
        count_devices(config)
    cross_check(_plain(config), on_this_machine)
    return config


def count_devices(config: DictConfig) -> None:
    """Puts a number in the place of trainer.devices=auto: of the processes that torchrun or srun has started on each
    machine; else of this machine's GPUs, or 1.
    """
    if "trainer" not in config or config.trainer.devices != "auto":
        return
    here = 1 if config.trainer.accelerator == "cpu" else count_gpus()
    started = ranks.processes() // config.trainer.num_nodes
    config.trainer.devices = max(1, started if ranks.is_one_of_several() else here)


def _plain(config: DictConfig) -> dict[str, Any]:
    """Resolved, as the worker gets it: UserError for what does not resolve, or would be resolved there once more."""
    try:
        plain = cast(dict[str, Any], OmegaConf.to_container(without_hydra(config), resolve=True))
    except OmegaConfBaseException as error:
        key = getattr(error, "full_key", None) or "configuration"
        raise UserError(str(key), None, f"a value that resolves: {str(error).splitlines()[0]}") from error
    unclear = [(key, part) for key, part in parts(plain) if isinstance(part, str) and "${" in part]
    for key, value in sorted(unclear, key=lambda one: one[0].count(".")):
        raise UserError(key, value, "text without ${, which stands for the value of another key", "rename it")
    return plain
