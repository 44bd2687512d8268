"""Trust rules for the saved configuration of a run, which is untrusted.

It sets only the keys of `MAY_SET`, which `common/rules.py` checks like values of the command line. What a command does,
and on which machines, devices and threads, comes from the command line.

It may name the classes of genimg, torch's optimizers, and the classes that the user names on this command line: with
`trust=`, in an override, or in the YAML of `--config-dir`. It may write only into its own run folder. Only the data
folder is read from where the run found it; the digest of the data is checked later.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from genimg.common.build import check_names, named_in, packaged, targets
from genimg.common.errors import UserError
from genimg.common.nodes import mapped, of_installed_lightning, replaced
from genimg.common.run_config import (
    OF_THIS_SESSION,
    PRUNING,
    REPLACED,
    check_values,
    permitted,
    read_config,
)
from genimg.common.run_folder import RunFolder
from genimg.config.hydra_api import Override

_GROUPS = ("callbacks", "data", "logger")  # groups that may name every class in the packaged YAML of the group
_PLACES = ("root", "cache")  # keys of the data that give a location, not the content
#: Keys of `data` that a resumed run may change, because they do not change the result.
MOVABLE = tuple(f"data.{name}" for name in (*_PLACES, "workers"))


def load_trusted(
    run: RunFolder, overrides: list[Override], config_dir: Path | None, chosen: DictConfig, machine: DictConfig
) -> DictConfig:
    """Reads and checks the configuration of `run`. Its `trust` lists what the user named, whatever the file says.

    Args:
        chosen: composed from the choices of groups; it supplies the keys that the file lacks.
        machine: composed from the choices of this command line alone; it supplies the keys that the file may not set.

    Raises:
        UserError: if the file names a class or a folder that it may not, or has the wrong structure.
    """
    saved = read_config(run.config, "resume")
    old = str(saved.get("run_dir"))
    config = _permitted(saved, run)
    trust = named_by_user(overrides, config_dir)
    if isinstance(callbacks := config.get("callbacks"), dict):  # a search adds its own pruning callback
        config["callbacks"] = {name: node for name, node in callbacks.items() if name != PRUNING}
    for name in ("callbacks", "logger"):
        if any(override.key_or_group == name for override in overrides):
            config.pop(name, None)  # the override replaces it
        elif name in config:
            config[name] = mapped(config[name], _named)
    for name, node in config.items():
        check_names(node, (*packaged(name), *trust) if name in _GROUPS else trust, name)
    new = str(run.path)
    for name in ("callbacks", "logger"):
        if name in config:
            config[name] = mapped(config[name], lambda _, value: new if value == old else value)
            _check_paths(config[name], new, name)
    config = _completed(config, _with_machine(OmegaConf.to_container(chosen), OmegaConf.to_container(machine)), run)
    given = {override.key_or_group: override.value() for override in overrides if not override.is_delete()}
    # an untrusted file chooses neither where arrays are cached nor where data are downloaded to
    config["data"] = replaced(config["data"], "cache", False)
    config["data"] = replaced(config["data"], "download", "data.root" in given)
    for name in _PLACES:
        if f"data.{name}" in given:
            config["data"] = replaced(config["data"], name, given[f"data.{name}"])
    root = config["data"].get("root")
    if root is not None and "data" not in given and not os.path.isdir(str(root)):
        raise UserError("data.root", root, "the folder of the run's data", hint="if it has moved: data.root=FOLDER")
    return OmegaConf.create({**config, "trust": trust})


def _named(key: str, value: Any) -> Any:
    """A class by the name that it has here."""
    return of_installed_lightning(value) if key == "_target_" and isinstance(value, str) else value


def named_by_user(overrides: list[Override], config_dir: Path | None) -> list[str]:
    """The packages and classes named by `trust=`, by the other overrides and by the YAML of `--config-dir`."""
    named = [] if config_dir is None else list(named_in(config_dir))
    for override in (one for one in overrides if not one.is_delete()):
        value = override.value()
        if override.key_or_group == "trust" and isinstance(value, list):
            named += [str(name) for name in value]
        elif override.key_or_group.endswith("._target_"):
            named.append(str(value))
        named += [target for _, target in targets(value)]
    return [of_installed_lightning(name) for name in named]


def _permitted(saved: dict[str, Any], run: RunFolder) -> dict[str, Any]:
    """The keys of a saved configuration that it may set. Raises UserError for an unknown key and another task."""
    if saved.get("task", "train") != "train":
        raise UserError("resume", f"{run.config} with task: {saved['task']!r:.60}", "the configuration of training")
    try:
        config = permitted(saved)
        check_values(config)
    except ValueError as error:
        raise UserError("resume", run.config, "the configuration of training", str(error)) from error
    return config


def _with_machine(chosen: Any, machine: Any) -> dict[str, Any]:
    """`chosen` with the keys of `machine` that no file may set."""
    given = {key: machine[key] for key in REPLACED if key in machine}
    trainer = {key: machine["trainer"][key] for key in OF_THIS_SESSION if key in machine["trainer"]}
    return {**chosen, **given, "trainer": {**chosen["trainer"], **trainer}}


def _completed(config: dict[str, Any], chosen: Any, run: RunFolder) -> dict[str, Any]:
    """`config` with the keys it lacks. Raises UserError if a part of it has the wrong structure."""

    def refuse(key: str, expected: str) -> UserError:
        return UserError("resume", f"{run.config} with {key}: {config.get(key)!r:.60}", expected)

    for key, default in chosen.items():
        if isinstance(config.setdefault(key, default), dict) != isinstance(default, dict):
            raise refuse(key, "a mapping" if isinstance(default, dict) else "one value")
    for key, needed in (("model", {"_target_", "name"}), ("data", {"_target_", "name", "kind", "source"})):
        if not needed <= config[key].keys():
            raise refuse(key, f"a {key} with {', '.join(sorted(needed))}")
    for key in ("budget", "checkpoint", "ema", "health", "trainer"):
        if unknown := config[key].keys() - chosen[key].keys():
            raise refuse(key, f"{key} without {', '.join(sorted(map(str, unknown)))}")
        config[key] = {**chosen[key], **config[key]}
    return config


def _check_paths(node: Any, run: str, key: str) -> None:
    """Raises UserError if a class of genimg or Lightning is given a folder other than the run's."""
    if isinstance(node, list):
        for part in node:
            _check_paths(part, run, key)
        return
    if not isinstance(node, dict):
        if isinstance(node, str) and node != run and (key.endswith("dir") or os.sep in node or node == ".."):
            raise UserError(
                "resume", f"{key}={node}", f"files in the run's own folder, {run}", "replace its logger: logger=csv"
            )
        return
    target = str(node.get("_target_", "genimg."))
    if target.startswith(("genimg.", "pytorch_lightning.")):
        for name, value in node.items():
            _check_paths(value, run, f"{key}.{name}")
