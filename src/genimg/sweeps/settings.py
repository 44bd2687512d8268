"""The settings of a sweep as users of Hydra write them: `hparams_search=NAME`, and `hydra.sweeper.params` in YAML."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

from omegaconf import DictConfig, OmegaConf

from genimg.common.declared import class_attribute
from genimg.common.errors import UserError, nearest
from genimg.common.rule import shown
from genimg.common.rules import rule_for
from genimg.config.choices import check_choices
from genimg.config.compose import Composer, line
from genimg.config.flags import SEARCH
from genimg.config.hydra_api import Override
from genimg.config.names import check_own_files
from genimg.sweeps.launchers import choice_of
from genimg.sweeps.samplers import check_sampler

_PARAMS, _SAMPLER = "hydra.sweeper.params", "hydra.sweeper.sampler"
_PLUGIN = "hydra_plugins.hydra_optuna_sweeper.optuna_sweeper.OptunaSweeper"  # its settings are read here, not its class
#: Optuna's names of the directions in which a metric improves.
DIRECTIONS: dict[str, Literal["minimize", "maximize"]] = {"min": "minimize", "max": "maximize"}


def translated(words: Sequence[str]) -> list[str]:
    """Returns words of Hydra's Optuna plugin as those that Hydra composes with the YAML files of this package.

    A value to search is an override of its key, a short name of a sampler is a choice of its group, and its arguments
    are keys that its YAML file does not list.
    """
    return [_translated(word) for word in words]


def _translated(word: str) -> str:
    key, _, value = word.lstrip("+").partition("=")
    if key.startswith(f"{_PARAMS}."):
        quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "\"'"
        return f"{key.removeprefix(f'{_PARAMS}.')}={value[1:-1] if quoted else value}"
    if key == _SAMPLER and not value.startswith("{"):
        return f"{_SAMPLER.replace('.', '/')}={value}"
    return f"++{key}={value}" if key in (_PARAMS, _SAMPLER) or key.startswith(f"{_SAMPLER}.") else word


def with_sweeper(composer: Composer, overrides: list[Override]) -> list[Override]:
    """Returns the overrides with `hydra/sweeper=optuna`, if `hparams_search=NAME` means it.

    Raises:
        UserError: if there is no such file, or it contains more than settings of Hydra.
    """
    check_own_files(composer, overrides)
    check_choices(composer, [one for one in overrides if one.key_or_group.startswith((SEARCH, "hydra/sweeper/"))])
    searches = any(one.key_or_group == SEARCH and one.value() is not None for one in overrides)
    if searches and not any(one.key_or_group == "hydra/sweeper" for one in overrides):
        return [*composer.parse(["hydra/sweeper=optuna"]), *overrides]
    return overrides


def with_settings(composer: Composer, overrides: list[Override]) -> list[Override]:
    """Returns the overrides that the YAML files of the sweep have for its runs and its launcher, then those given.

    A given override replaces that of `hydra.sweeper.params` for the same key.

    Raises:
        UserError: for a setting of the sweeper that does not exist.
    """
    searches = choice_of("hydra/sweeper", overrides) == "optuna"
    choice_of("hydra/launcher", overrides)
    known = list(composer.defaults(["hydra/sweeper=optuna"]).hydra.sweeper) if searches else []
    of_sweeper = [one.key_or_group for one in overrides if one.key_or_group.startswith("hydra.sweeper.")]
    if searches:
        _check_keys([key.split(".")[2] for key in of_sweeper], known)
    words = [line(one) for one in overrides if one.key_or_group.startswith(("hydra", SEARCH))]
    hydra = composer.compose(words).hydra
    sweeper: Any = OmegaConf.to_container(hydra.sweeper)
    if searches:
        _check_keys([name for name in sweeper if (name, sweeper[name]) != ("_target_", _PLUGIN)], known)
    params = sweeper["params"] or {}
    if not isinstance(params, dict):
        raise UserError(_PARAMS, shown(params), "a mapping from keys to their values", "{seed: 1,2}")
    found = [f"{key}={_text(f'{_PARAMS}.{key}', value)}" for key, value in _leaves(params)]
    if (launcher := hydra.runtime.choices["hydra/launcher"]) != "basic":
        found.append(f"hydra/launcher={launcher}")
    given = {one.key_or_group for one in overrides}
    return [*(one for one in composer.parse(found) if one.key_or_group not in given), *overrides]


def check_direction(given: str | None, metric: str, direction: str) -> None:
    """Raises UserError if `hydra.sweeper.direction` contradicts that of the metric, `min` or `max`."""
    right = DIRECTIONS[direction]
    if given not in (None, right):
        expected = f"{right}, or null: the objective is {metric}, the metric that selects the best checkpoint"
        raise UserError("hydra.sweeper.direction", given, expected, "omit it; the metric determines it")


def check_search(sweeper: DictConfig, configs: Sequence[DictConfig]) -> None:
    """Checks the settings of a search whose values pass their rules.

    configs: those of which the metrics are known. That of an RNN depends on its likelihood; its first trial is checked.

    Raises:
        UserError: for a mapping in place of a value, another direction than that of a metric, or an unknown sampler.
    """
    for name, value in sweeper.items():
        key = f"hydra.sweeper.{name}"
        if isinstance(value, DictConfig) and key not in (_PARAMS, _SAMPLER):
            raise UserError(key, shown(value), f"{rule_for(key)}, not a mapping")
    if not isinstance(sweeper.sampler, DictConfig):
        hint = f"in the defaults of the file: override /{_SAMPLER.replace('.', '/')}: {sweeper.sampler}"
        raise UserError(_SAMPLER, shown(sweeper.sampler), "a mapping with _target_", hint)
    check_sampler(sweeper.sampler)
    for target in {str(config.model._target_) for config in configs if "model" in config}:
        declared = class_attribute(target, "monitor") if target.startswith("genimg.models.") else None
        if declared is not None:
            check_direction(sweeper.direction, *declared)


def _check_keys(names: list[str], known: list[str]) -> None:
    for name in names:
        if name not in known:
            meant = nearest(name, known)
            hint = f"did you mean hydra.sweeper.{meant}?" if meant else f"they are {', '.join(known)}"
            raise UserError(f"hydra.sweeper.{name}", None, "a setting of a search", hint)


def _leaves(params: dict[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    """Yields the dotted keys of nested mappings with their values."""
    for name, value in params.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _text(key: str, value: object) -> str:
    """Returns a value of YAML in Hydra's grammar of overrides: a list has the values to try."""
    if value == []:
        raise UserError(key, "[]", "at least one value")
    if isinstance(value, list):
        return ",".join(one if isinstance(one, str) else shown(one) for one in value)
    return value if isinstance(value, str) else shown(value)
