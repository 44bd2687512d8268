"""`resume=RUN`: the saved configuration of a run, with the few things that may change."""

from __future__ import annotations

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, ListConfig, OmegaConf, open_dict

from genimg.config.compose import Composer, without_hydra
from genimg.config.saved import MOVABLE, saved
from genimg.errors import UserError
from genimg.runs import RunFolder, find

# what a resumed run may change: how long, where, and what is written; never what is trained on what
CHANGEABLE = (
    "budget",
    "logger",
    "trainer",
    "launch",
    "health",
    "checkpoint",
    "callbacks",
    "log_every_steps",
    "dry_run",
)
_BESIDES = ("resume", "outputs", "hydra", "trust")


def resumed_run(overrides: list[Override], composer: Composer) -> RunFolder | None:
    """The run that `resume=` names, or None where nothing is resumed. UserError where it cannot be."""
    given = {override.key_or_group: override.value() for override in overrides if not override.is_delete()}
    if composer.task != "train" or given.get("resume") is None:
        return None
    run = find(str(given["resume"]), str(given.get("outputs", "outputs")), key="resume")
    if not isinstance(run, RunFolder):
        raise UserError("resume", run, "a run folder, or last", hint=f"resume={run.parent.parent}")
    if not run.has_checkpoint():
        raise UserError("resume", run.path, "a run with a checkpoint; this one has none", hint="start it anew")
    for override in overrides:
        group = override.key_or_group.split(".")[0].split("/")[0]
        if group not in (*CHANGEABLE, *_BESIDES) and override.key_or_group not in MOVABLE:
            raise UserError(
                override.key_or_group,
                override.input_line,
                f"with resume= only {', '.join((*CHANGEABLE, *MOVABLE))} may change",
                hint="leave it out, or start a new run without resume=",
            )
    return run


def merged(composer: Composer, run: RunFolder, overrides: list[Override], chosen: DictConfig) -> DictConfig:
    """The saved configuration of `run` with the overrides laid on top; its `hydra` node is that of `chosen`.

    chosen: the configuration composed from the overrides that choose groups (`logger=csv`).
    """
    config = saved(run, overrides, composer.config_dir, without_hydra(chosen))
    trust = list(config.trust)
    with open_dict(config), open_dict(chosen):
        config.hydra = chosen.hydra
        for override in overrides:
            if composer.is_group(override.key_or_group) and not override.is_delete():
                config[override.key_or_group] = chosen[override.key_or_group]
        if any(override.key_or_group.startswith("budget.") for override in overrides):
            config.budget = dict.fromkeys(config.budget)
    OmegaConf.set_struct(config, True)
    settings = [override for override in overrides if not composer.is_group(override.key_or_group)]
    composer.apply(settings, config)
    config.resume = str(run.path)
    config.run_dir = str(run.path)
    if isinstance(config.trust, ListConfig):
        config.trust = trust  # with what the other words name
    return config
