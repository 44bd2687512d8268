"""`resume=RUN`: the saved configuration of a run, with the few things that may change, or with others said aloud."""

from __future__ import annotations

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, ListConfig, OmegaConf, open_dict

from genimg.common.errors import UserError
from genimg.common.run_config import LARGEST, SHOWING
from genimg.common.run_folder import RunFolder, find_run
from genimg.config.compose import Composer, line, without_hydra
from genimg.config.followed import follow_again
from genimg.config.saved import MOVABLE, saved

# what a resumed run may change: how long, where, and what is written; never what is trained on what and measured how
CHANGEABLE = (
    "budget", "logger", "trainer", "launch", "checkpoint", *(f"callbacks.{name}" for name in SHOWING),
    "log_every_steps", "dry_run",
)  # fmt: skip
_ROUNDING = ("trainer.precision", "trainer.memory_format")  # they change the numbers: not of the trainer's that may
_BESIDES = ("resume", "allow_changes", "outputs", "hydra", "trust")
_NEVER = ("experiment", "run_dir", "sweep")  # what they say is about a run that begins


def resumed_run(overrides: list[Override], composer: Composer) -> RunFolder | None:
    """The run that `resume=` names, or None where nothing is resumed. UserError where it cannot be."""
    given = {override.key_or_group: override.value() for override in overrides if not override.is_delete()}
    if composer.task != "train" or given.get("resume") is None:
        return None
    run = find_run(str(given["resume"]), str(given.get("outputs", "outputs")), key="resume")
    if not isinstance(run, RunFolder):
        raise UserError("resume", run, "a run folder, or last", hint=f"resume={run.parent.parent}")
    if not run.has_checkpoint():
        raise UserError("resume", run.path, "a run with a checkpoint; this one has none", hint="start it anew")
    if not isinstance(given.get("allow_changes", False), bool):
        raise UserError("allow_changes", given["allow_changes"], "true or false")
    for override in overrides:
        key = override.key_or_group
        if (_is_of(key, (*CHANGEABLE, *_BESIDES)) and key not in _ROUNDING) or key in MOVABLE:
            continue
        allowed = not _is_of(key, _NEVER) and "/" not in key
        if not (allowed and given.get("allow_changes") is True):
            raise UserError(
                key,
                line(override),
                f"with resume= only {', '.join((*CHANGEABLE, *MOVABLE))} may change, but not {' and '.join(_ROUNDING)}",
                hint="allow_changes=true beside it; or a new run, without resume="
                if allowed
                else "leave it out, or start a new run without resume=",
            )
    return run


def _is_of(key: str, names: tuple[str, ...]) -> bool:
    """Whether a key or a group is one of these, or a part of one."""
    return any(f"{key}.".replace("/", ".").startswith(f"{name}.") for name in names)


def began_with(run: RunFolder, composer: Composer, overrides: list[Override]) -> list[str]:
    """The choices of groups that the run has by RUN/overrides.txt, of those that exist here.

    They say which key follows which, and which keys there are; the values are those of the saved configuration. Raises
    UserError with allow_changes=true for a choice that is not here.
    """
    found: dict[str, str] = {}
    readable = run.overrides.is_file() and run.overrides.stat().st_size <= LARGEST
    strict = any(override.key_or_group == "allow_changes" and override.value() is True for override in overrides)
    for word in run.overrides.read_text(encoding="utf-8", errors="replace").splitlines() if readable else []:
        group = word.partition("=")[0]
        if group not in composer.chosen_groups():
            continue
        chosen = _chosen(composer, word)
        if chosen and set(chosen) <= set(composer.choices(group)):
            found[group] = word
        elif strict and chosen != ["null"]:
            hint = "--config-dir FOLDER, as when it began"
            raise UserError("allow_changes", "true", f"the files that the run began with; here is no {word}", hint)
    return list(found.values())


def _chosen(composer: Composer, word: str) -> list[str]:
    """What a word of a run's file chooses of its group, which may be several; none where it is no word that is read."""
    try:
        value = composer.parse([word])[0].value()
    except UserError:
        return []
    return ["null" if one is None else str(one) for one in (value if isinstance(value, list) else [value])]


def merged(
    composer: Composer, run: RunFolder, overrides: list[Override], began: DictConfig, chosen: DictConfig
) -> DictConfig:
    """The saved configuration of `run` with the overrides laid on top; its `hydra` node is that of `chosen`.

    began: what the choices of groups that the run began with compose to: it says which key follows which.
    chosen: the same with the choices of the overrides (`logger=csv`) on top.
    """
    config = saved(run, overrides, composer.config_dir, without_hydra(chosen))
    trust = list(config.trust)
    follow_again(config, without_hydra(began))
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
