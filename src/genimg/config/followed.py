"""Keys that follow other keys: known to the YAML files, and lost in a configuration that was saved resolved."""

from __future__ import annotations

from typing import Any

from omegaconf import DictConfig, Node, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from genimg.config.names import flatten


def follow_again(config: DictConfig, composed: DictConfig) -> None:
    """Puts the interpolations of `composed` into the resolved `config`, each where it gives the value that is there.

    So the values stay what they are, and a key that is changed afterwards changes those that follow it: model.lr the
    optimizers' lr. One that was given a value of its own keeps it.
    """
    there = flatten(config)
    for key, node in flatten(composed).items():
        if key in there and isinstance(node, Node) and node._is_interpolation():
            kept = _value(config, key)
            OmegaConf.update(config, key, node._value(), merge=False)
            try:
                follows = _value(config, key) == kept
            except OmegaConfBaseException:
                follows = False
            if not follows:
                OmegaConf.update(config, key, kept, merge=False)


def _value(config: DictConfig, key: str) -> Any:
    value = OmegaConf.select(config, key)
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
