"""`resume=RUN`: the saved configuration of a run with the settings that may change, or others with allow_changes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from genimg.common import quoting
from genimg.common.errors import UserError
from genimg.common.reading import MAX_YAML, read_bytes
from genimg.common.run_config import RECORDED, passive_callbacks, read_config
from genimg.common.run_folder import RunFolder, check_contained, find_run
from genimg.config.compose import Composer, line, with_installed_lightning, without_hydra
from genimg.config.hydra_api import Override, flatten, interpolation, plain_value
from genimg.config.saved import MOVABLE, load_trusted

# settings that change neither what is trained nor how it is measured; with the passive callbacks
_CHANGEABLE = ("budget", "logger", "trainer", "launch", "checkpoint", "log_every_steps", "dry_run", "health.patience")
#: Of trainer, what changes the results.
_KEPT = tuple(
    f"trainer.{name}"
    for name in (
        "precision",
        "memory_format",
        "accumulate_grad_batches",
        "gradient_clip_val",
        "gradient_clip_algorithm",
    )
)
_BESIDES = ("resume", "allow_changes", "outputs", "hydra", "trust")
_NEVER = ("experiment", "run_dir", "sweep", *RECORDED)  # only a new run reads them


def resumed_run(overrides: list[Override], composer: Composer) -> RunFolder | None:
    """The run that `resume=` names, by its absolute path, or None without `resume=`.

    Raises:
        UserError: if the run cannot be resumed, or an override may not change.
    """
    given = {override.key_or_group: override.value() for override in overrides if not override.is_delete()}
    if composer.task != "train" or given.get("resume") is None:
        return None
    run = find_run(str(given["resume"]), str(given.get("outputs", "outputs")), key="resume")
    if not isinstance(run, RunFolder):
        file = Path(os.path.abspath(run))
        run = RunFolder(file.parent.parent)
        if file != run.last or not run.config.is_file():
            expected = "a run folder, its checkpoints/last.pt, or last"
            hint = f"a new run from these weights: {quoting.word('init_from', file)}"
            raise UserError("resume", file, expected, hint)
        check_contained(run, "resume")
    if not run.has_checkpoint():
        raise UserError("resume", run.path, "a run with a checkpoint; this one has none", hint="start a new run")
    if "${" in str(run.path.absolute()):
        raise UserError("resume", run.path.absolute(), "a path without ${, which Hydra would resolve", "rename it")
    if not isinstance(given.get("allow_changes", False), bool):
        raise UserError("allow_changes", given["allow_changes"], "true or false")
    saved = read_config(run.config, "resume")
    _check_data(given.get("data"), saved, recorded_words(run))
    passive = passive_callbacks(saved.get("callbacks"))
    changeable = (*_CHANGEABLE, *(f"callbacks.{name}" for name in passive if f"callbacks.{name}._target_" not in given))
    for override in overrides:
        key = override.key_or_group
        if (_is_of(key, (*changeable, *_BESIDES)) and key not in _KEPT) or key in MOVABLE:
            continue
        allowed = not _is_of(key, _NEVER) and "/" not in key
        if not (allowed and given.get("allow_changes") is True):
            raise UserError(
                key,
                line(override),
                f"with resume= only {', '.join((*changeable, *MOVABLE))} may change, except {', '.join(_KEPT)}",
                hint="allow_changes=true beside it, or a new run from these weights: init_from=RUN without resume="
                if allowed
                else "remove it, or start a new run without resume=",
            )
    return RunFolder(run.path.absolute())


def _check_data(chosen: object, saved: dict[str, Any], words: list[str]) -> None:
    """Raises UserError for another data set: its images would be mixed with what the run has written.

    words: the overrides that the run recorded, which name the YAML file of its data.
    """
    data = saved.get("data")
    name = data.get("name") if isinstance(data, dict) else None
    if chosen is not None and name is not None and chosen != name and f"data={chosen}" not in words:
        hint = f"a new run from these weights: init_from=RUN data={chosen} without resume="
        raise UserError("data", chosen, f"{name}, the data of the run", hint)


def _is_of(key: str, names: tuple[str, ...]) -> bool:
    """Whether a key or a group is one of these, or inside one."""
    return any(f"{key}.".replace("/", ".").startswith(f"{name}.") for name in names)


def recorded_words(run: RunFolder) -> list[str]:
    """The lines of RUN/overrides.txt, which is untrusted; none if it is missing, or not ours."""
    try:
        return read_bytes(run.overrides, MAX_YAML).decode(errors="replace").splitlines()
    except ValueError:
        return []


def starting_choices(run: RunFolder, composer: Composer, overrides: list[Override]) -> list[str]:
    """The choices of groups in RUN/overrides.txt that exist here.

    They tell which keys there are and which key follows which; the values come from the saved configuration.

    Raises:
        UserError: with allow_changes=true, if a choice does not exist here.
    """
    found: dict[str, str] = {}
    known = {*composer.chosen_groups(), *composer.groups()}
    strict = any(override.key_or_group == "allow_changes" and override.value() is True for override in overrides)
    for word in recorded_words(run):
        group = word.partition("=")[0]
        if group.startswith("hydra") or group not in known:
            continue
        chosen = _chosen(composer, word)
        if chosen and set(chosen) <= set(composer.choices(group)):
            found[group] = word
        elif strict and chosen != ["null"]:
            expected = f"the YAML files that the run started with; {word} does not exist here"
            raise UserError("allow_changes", "true", expected, "--config-dir FOLDER, as when it started")
    return list(found.values())


def _chosen(composer: Composer, word: str) -> list[str]:
    """The choices of a group in a word of overrides.txt, which is untrusted; none if the word does not parse."""
    try:
        value = composer.parse([word])[0].value()
    except UserError:
        return []
    return ["null" if one is None else str(one) for one in (value if isinstance(value, list) else [value])]


def merged(
    composer: Composer, run: RunFolder, overrides: list[Override], began: DictConfig, chosen: DictConfig
) -> DictConfig:
    """The saved configuration of `run` with the overrides applied and the `hydra` node of `chosen`.

    Args:
        began: composed from the choices of groups that the run started with; it tells which key follows which.
        chosen: composed from the same choices and those of the overrides (`logger=csv`).
    """
    machine = composer.defaults([line(override) for override in overrides if override.key_or_group == "trainer"])
    config = load_trusted(run, overrides, composer.config_dir, without_hydra(chosen), without_hydra(machine))
    trust = list(config.trust)
    _restore_interpolations(config, without_hydra(began))
    with open_dict(config), open_dict(chosen):
        config.hydra = chosen.hydra
        kept = {key: OmegaConf.select(config, key) for key in _KEPT}
        for override in overrides:
            if composer.is_group(override.key_or_group) and not override.is_delete():
                config[override.key_or_group] = chosen[override.key_or_group]
        for key, value in kept.items():  # also beside another choice of trainer
            OmegaConf.update(config, key, value)
        if any(override.key_or_group.startswith("budget.") for override in overrides):
            config.budget = dict.fromkeys(config.budget)
    OmegaConf.set_struct(config, True)
    composer.apply([override for override in overrides if not composer.is_group(override.key_or_group)], config)
    with_installed_lightning(config)
    config.resume = config.run_dir = str(run.path)
    if isinstance(config.trust, ListConfig):
        config.trust = trust  # with the classes that the other overrides name
    return config


def _restore_interpolations(config: DictConfig, composed: DictConfig) -> None:
    """Puts an interpolation of `composed` into the resolved `config` where it gives the value that is there.

    The values do not change, but a key that is set afterwards changes the keys that follow it, as model.lr does the
    optimizers' lr. A key that was set to another value keeps it.
    """
    existing = flatten(config)
    for key, node in flatten(composed).items():
        if key in existing and (text := interpolation(node)) is not None:
            kept = plain_value(config, key)
            OmegaConf.update(config, key, text, merge=False)
            try:
                follows = plain_value(config, key) == kept
            except OmegaConfBaseException:
                follows = False
            if not follows:
                OmegaConf.update(config, key, kept, merge=False)
