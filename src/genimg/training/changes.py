"""Logs the settings that a resumed run changes."""

import logging
from typing import Any

from genimg.checkpoints.schema import Checkpoint
from genimg.common.differences import differences, shown
from genimg.common.run_config import PRUNING, passive_callbacks

log = logging.getLogger(__name__)

# keys that depend on the machine and change no result
MACHINE_KEYS = ("root", "download", "cache", "workers", "follow_links", "fused", "run_dir")


def log_changes(config: dict[str, Any], fingerprint: dict[str, Any], checkpoint: Checkpoint) -> None:
    """Logs each setting that differs from the checkpoint's, with both values. The run's report reads these lines.

    Keys that interpolate one another, for example the optimizers' lr and the model's, are logged once.

    Args:
        fingerprint: of the data.
    """
    before = _compared(checkpoint["config"], checkpoint["data"]["fingerprint"])
    logged = set[tuple[str, str, str]]()
    found = differences(before, _compared(config, fingerprint))
    for key, *values in sorted(found, key=lambda one: one[0].count(".")):
        name, was, now = key.rpartition(".")[2], *(" ".join(shown(value).split()) for value in values)
        change = (key if key.startswith("callbacks.") else name, was, now)
        if name not in MACHINE_KEYS and change not in logged:
            logged.add(change)
            log.info("changed   %s %s -> %s, from %s images on", key, was, now, f"{checkpoint['images_seen']:,}")


def _compared(config: dict[str, Any], fingerprint: dict[str, Any]) -> dict[str, Any]:
    """Returns the part of a configuration that decides the weights and the metrics."""
    parts = {name: config.get(name) for name in ("seed", "freeze", "model", "ema", "health")}
    passive = (PRUNING, *passive_callbacks(config["callbacks"]))
    parts["callbacks"] = {name: node for name, node in config["callbacks"].items() if name not in passive}
    parts["trainer"] = {name: config["trainer"].get(name) for name in ("precision", "deterministic")}
    return parts | {"data": config["data"] | {"digest": f"{fingerprint.get('digest')!s:.12}"}}
