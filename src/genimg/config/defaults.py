"""What a run would be if nothing were asked for besides its model and its data."""

from __future__ import annotations

from typing import Any

from omegaconf import DictConfig, Node, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from genimg.common.errors import UserError
from genimg.config.compose import Composer, without_hydra
from genimg.config.names import flatten


def plain(composer: Composer, model: str, data: str, config: DictConfig) -> DictConfig | None:
    """The defaults of this model and this data by the files of the package, to be held against `config`.

    A setting that follows another, and follows it in `config` too, has the value that it has there: with
    data.image_size=16 the networks' sizes are no differences of their own. None where a user's own YAML needs
    what the package's root has not.
    """
    try:
        shipped = without_hydra(composer.shipped([f"model={model}", f"data={data}"]))
        defaults = OmegaConf.masked_copy(shipped, [str(key) for key in shipped if key in config])  # no sweep
        given = flatten(config)
        values = {
            key: _value(config if _written(given.get(key)) == _written(node) else defaults, key)
            for key, node in flatten(defaults).items()
            if isinstance(node, Node) and node._is_interpolation()
        }
    except (UserError, OmegaConfBaseException):
        return None
    with open_dict(defaults):
        for key, value in values.items():
            OmegaConf.update(defaults, key, value)
    return defaults


def _written(node: object) -> Any:
    """What stands in the YAML, `${...}` where it is one."""
    return node._value() if isinstance(node, Node) else None


def _value(config: DictConfig, key: str) -> Any:
    value = OmegaConf.select(config, key)
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
