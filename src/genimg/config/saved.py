"""The configuration in a run's folder, before anything of it is used: it may be a stranger's.

It may name our own classes, torch's optimizers, and those that the user names on this command line: by `trust=`, in an
override, or in the YAML of `--config-dir`. What it writes lies in its own folder, wherever that lies now. The data's
folder alone is read where the run found it: that they are the same data is checked by their digest.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from genimg.common.build import check_names, named_in, packaged, targets
from genimg.common.errors import UserError
from genimg.common.run_config import PRUNING, mapped, read_config, replaced
from genimg.common.run_folder import RunFolder

_GROUPS = ("callbacks", "data", "logger")  # groups built of the classes that our own YAML of them names
_PLACES = ("root", "cache")  # keys of the data that say where they lie, not what they are
#: Keys of `data` that a resumed run may change: they change no result.
MOVABLE = tuple(f"data.{name}" for name in (*_PLACES, "workers"))


def saved(run: RunFolder, overrides: list[Override], config_dir: Path | None, chosen: DictConfig) -> DictConfig:
    """The configuration of `run`, checked; `trust` lists what the user named, whatever the file says.

    chosen: what the choices of groups compose to. What a newer version added is taken from it.
    Raises UserError for the first thing that no run of ours has.
    """
    config = read_config(run.config, "resume")
    trust = named_by_user(overrides, config_dir)
    if isinstance(callbacks := config.get("callbacks"), dict):  # a search prunes by one that it gives a job itself
        config["callbacks"] = {name: node for name, node in callbacks.items() if name != PRUNING}
    for name in (
        "trust",
        "allow_changes",
        *(o.key_or_group for o in overrides if o.key_or_group in ("callbacks", "logger")),
    ):
        config.pop(name, None)  # the user's own comes in its place
    for name, node in config.items():
        check_names(node, (*packaged(name), *trust) if name in _GROUPS else trust, name)
    old, new = str(config.get("run_dir")), str(run.path)
    for name in ("callbacks", "logger"):
        if name in config:
            config[name] = mapped(config[name], lambda _, value: new if value == old else value)
            _check_paths(config[name], new, name)
    config = _completed(config, OmegaConf.to_container(chosen), run)
    given = {override.key_or_group: override.value() for override in overrides if not override.is_delete()}
    if isinstance(config["data"].get("cache"), str):
        config["data"] = replaced(config["data"], "cache", False)
    # nor are they downloaded to where a stranger's says, but to where the user does
    config["data"] = replaced(config["data"], "download", "data.root" in given)
    for name in _PLACES:
        if f"data.{name}" in given:
            config["data"] = replaced(config["data"], name, given[f"data.{name}"])
    root = config["data"].get("root")
    if root is not None and "data" not in given and not os.path.isdir(str(root)):
        raise UserError("data.root", root, "the folder of the run's data", hint="where it lies now: data.root=FOLDER")
    return OmegaConf.create({**config, "trust": trust})


def named_by_user(overrides: list[Override], config_dir: Path | None) -> list[str]:
    """Packages and classes that `trust=`, the other overrides and the user's own YAML name."""
    named = [] if config_dir is None else list(named_in(config_dir))
    for override in (one for one in overrides if not one.is_delete()):
        value = override.value()
        if override.key_or_group == "trust" and isinstance(value, list):
            named += [str(name) for name in value]
        elif override.key_or_group.endswith("._target_"):
            named.append(str(value))
        named += [target for _, target in targets(value)]
    return named


def _completed(config: dict[str, Any], chosen: Any, run: RunFolder) -> dict[str, Any]:
    """`config` with the keys it lacks; UserError where a part of it is not of the kind that it must be."""

    def refuse(key: str, expected: str) -> UserError:
        return UserError("resume", f"{run.config} with {key}: {config.get(key)!r:.60}", expected)

    for key, default in chosen.items():
        if isinstance(config.setdefault(key, default), dict) != isinstance(default, dict):
            raise refuse(key, "keys of its own" if isinstance(default, dict) else "one value")
    for key, needed in (("model", {"_target_", "name"}), ("data", {"_target_", "name", "kind", "source"})):
        if not needed <= config[key].keys():
            raise refuse(key, f"a {key} with {', '.join(sorted(needed))}")
    for key in ("budget", "checkpoint", "ema", "health", "launch", "trainer"):
        if unknown := config[key].keys() - chosen[key].keys():
            raise refuse(key, f"no {', '.join(sorted(map(str, unknown)))} in it")
        config[key] = {**chosen[key], **config[key]}
    return config


def _check_paths(node: Any, run: str, key: str) -> None:
    """Refuse folders other than the run's in what our own classes and Lightning's are given."""
    if not isinstance(node, dict):
        if isinstance(node, str) and node != run and (key.endswith("dir") or os.sep in node or node == ".."):
            raise UserError(
                "resume", f"{key}={node}", f"files in the run's own folder, {run}", "leave its logger: logger=csv"
            )
        return
    target = str(node.get("_target_", "genimg."))
    if target.startswith(("genimg.", "pytorch_lightning.")):
        for name, value in node.items():
            for part in value if isinstance(value, list) else [value]:
                _check_paths(part, run, f"{key}.{name}")
