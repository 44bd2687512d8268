"""What a resumed run goes on with that it was not trained with."""

import logging
from typing import Any

from genimg.checkpoints.read import Checkpoint
from genimg.common.differences import differences, shown
from genimg.common.run_config import PRUNING, SHOWING

log = logging.getLogger(__name__)

# keys that change with the machine, and change no result
OF_A_MACHINE = ("root", "download", "cache", "workers", "follow_links", "fused", "run_dir")


def tell_changes(config: dict[str, Any], fingerprint: dict[str, Any], checkpoint: Checkpoint) -> None:
    """Logs each setting that is not the checkpoint's, with both values; the run's page reads it there.

    fingerprint: of the data. Of keys that follow each other, as the optimizers' lr the model's, the first is told;
    callbacks follow nothing.
    """
    before = _what_it_is(checkpoint["config"], checkpoint["data"]["fingerprint"])
    told = set[tuple[str, str, str]]()
    found = differences(before, _what_it_is(config, fingerprint))
    for key, *values in sorted(found, key=lambda one: one[0].count(".")):
        name, was, now = key.rpartition(".")[2], *(" ".join(shown(value).split()) for value in values)
        change = (key if key.startswith("callbacks.") else name, was, now)
        if name not in OF_A_MACHINE and change not in told:
            told.add(change)
            log.info("changed   %s %s -> %s, from %s images on", key, was, now, f"{checkpoint['images_seen']:,}")


def _what_it_is(config: dict[str, Any], fingerprint: dict[str, Any]) -> dict[str, Any]:
    """What is trained on what and measured how, of a configuration."""
    parts = {name: config.get(name) for name in ("seed", "model", "ema")}
    callbacks = config["callbacks"].items()
    parts["callbacks"] = {name: node for name, node in callbacks if name not in (PRUNING, *SHOWING)}
    trainer = config["trainer"]
    # the first versions had no other order of sums
    parts["trainer"] = {"precision": trainer.get("precision"), "deterministic": trainer.get("deterministic", False)}
    parts["health"] = config.get("health", {"on_divergence": "stop"})  # the first versions did nothing else
    return parts | {"data": config["data"] | {"digest": f"{fingerprint.get('digest')!s:.12}"}}
