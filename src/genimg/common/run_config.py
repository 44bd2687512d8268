"""Saved configurations, which are untrusted: what they may set, and transformations of their nodes. Torch-free."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from genimg.common.declared import class_attribute
from genimg.common.errors import UserError
from genimg.common.nodes import parts
from genimg.common.reading import read_yaml
from genimg.common.rules import rule_for

PRUNING = "pruning"  # key of the callback that a search adds to a job
_MOST = 10_000  # values of a configuration; ours have some hundreds

#: Keys, and nodes with all their keys, that the configuration of a run, a checkpoint, an export or a sweep may set.
MAY_SET = (
    *(
        "seed",
        "log_every_steps",
        "budget",
        "checkpoint",
        "ema",
        "health",
        "model",
        "data",
        "callbacks",
        "logger",
        "freeze",
    ),
    *(f"trainer.{name}" for name in ("accelerator", "precision", "memory_format", "fused", "deterministic", "graph")),
    *(f"trainer.{name}" for name in ("accumulate_grad_batches", "gradient_clip_val", "gradient_clip_algorithm")),
)
#: Keys that a saved configuration has for the record of how the run began. Only a new run acts on them.
RECORDED = ("init_from", "init_weights", "name", "tags")
#: Keys that every saved configuration has, and that have the value of the command line, or else the default.
REPLACED = ("task", "dry_run", "resume", "allow_changes", "trust", "outputs", "run_dir", "launch", "sweep")
#: Keys of trainer that are replaced likewise: they belong to a machine, or to one session.
OF_THIS_SESSION = ("devices", "num_nodes", "strategy", "threads", "detect_anomaly", "profiler")


def may_set(key: str) -> bool:
    """Whether a saved configuration may set this key."""
    return any(f"{key}.".startswith(f"{name}.") for name in MAY_SET)


def permitted(saved: dict[str, Any]) -> dict[str, Any]:
    """Returns the part of a saved configuration that it may set. Raises ValueError with the name of an unknown key."""
    config = {key: node for key, node in saved.items() if key not in REPLACED}
    keys = [str(key) for key in config if key != "trainer"]
    if isinstance(trainer := config.get("trainer"), dict):
        config["trainer"] = {key: value for key, value in trainer.items() if key not in OF_THIS_SESSION}
        keys += [f"trainer.{key}" for key in config["trainer"]]
    if unknown := [key for key in keys if key not in (*MAY_SET, *RECORDED)]:
        raise ValueError(f"it sets {unknown[0]:.60}, and may set only {', '.join(sorted(MAY_SET))}")
    return config


def check_values(config: dict[str, Any]) -> None:
    """Raises ValueError with the name of the first key whose value the rule of the key does not accept."""
    for number, (key, value) in enumerate(parts(config)):
        if number >= _MOST:
            raise ValueError(f"it has more than {_MOST:,} values")
        if not isinstance(value, str | int | float | dict | list | None):
            raise ValueError(f"its {key:.60} is a {type(value).__name__}")
        if isinstance(value, dict):
            for name, inner in value.items():
                _check_value(f"{key}.{name}".lstrip("."), inner, value.get("_target_"))


def _check_value(key: str, value: Any, target: object) -> None:
    """target: the class that reads the value."""
    if "." not in key and isinstance(value, dict):
        return
    rule = rule_for(key)
    of_source = key.startswith("data.source.") and str(target).startswith("genimg.")
    if rule is None and of_source:  # the fields of our sources have the names of keys of data
        rule = rule_for(f"data.{key.rpartition('.')[2]}")
    if rule is not None and rule.applies(key, target) and not rule.accepts(value):
        raise ValueError(f"its {key:.60} is {value!r:.60}, not {rule}")


def read_config(path: Path, key: str) -> dict[str, Any]:
    """Reads the mapping in the file, plain and unresolved. `key` is the key that named the run.

    Raises:
        UserError: if `read_yaml` refuses it, or it is not a mapping.
    """
    try:
        found = read_yaml(path)
        if not isinstance(found, dict):
            raise ValueError("it is not a mapping")
    except ValueError as error:
        raise UserError(key, path, "the configuration of a run", str(error)) from error
    return cast(dict[str, Any], found)


def passive_callbacks(callbacks: object) -> tuple[str, ...]:
    """The names of the configured callbacks that change no metric and no weight, as their classes declare.

    A class from outside this package is not passive.
    """
    nodes = callbacks.items() if isinstance(callbacks, dict) else ()
    return tuple(str(name) for name, node in nodes if isinstance(node, dict) and _is_passive(str(node.get("_target_"))))


def _is_passive(target: str) -> bool:
    try:
        return target.startswith("genimg.training.callbacks.") and class_attribute(target, "passive") is True
    except (LookupError, ImportError, ValueError):  # the configuration may be untrusted
        return False
