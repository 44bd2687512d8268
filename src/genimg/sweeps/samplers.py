"""The samplers of a search: classes of Optuna whose suggestions depend on the seed and the trials in the study alone.

A resumed search creates them again. CMA-ES, NSGA-II and QMC are not among them: they keep a state of their own in the
study, that of CMA-ES as a pickle, and a journal may be untrusted.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping
from typing import Any

from genimg.common.build import packaged
from genimg.common.errors import UserError, first_line, nearest
from genimg.common.rule import Flag, Integer, Number, Rule, shown

_KEY = "hydra.sweeper.sampler"
# the kinds of arguments that YAML can give, by their annotations; the others are functions and objects
_RULES: dict[str, Rule] = {"bool": Flag(), "int": Integer(1), "float": Number(above=0)}


def check_sampler(node: Mapping[Any, Any]) -> None:
    """Raises UserError for a class that is not in `configs/hydra/sweeper/sampler`, or an argument that it refuses."""
    target, allowed = node.get("_target_"), packaged("hydra/sweeper/sampler")
    if target not in allowed:
        meant = nearest(str(target), allowed)
        raise UserError(
            f"{_KEY}._target_",
            shown(target),
            f"one of {', '.join(allowed)}",
            f"did you mean {meant}?" if meant else None,
        )
    rules = _rules(target)
    for name, value in node.items():
        key, rule = f"{_KEY}.{name}", rules.get(name)
        if name in ("_target_", "seed"):
            continue
        if rule is None:
            meant = nearest(str(name), rules)
            expected = f"an argument of {target}: {', '.join(rules) or 'seed'}"
            raise UserError(key, shown(value), expected, f"did you mean {_KEY}.{meant}?" if meant else None)
        if value is not None and not rule.accepts(value):
            raise UserError(key, shown(value), str(rule), rule.hint_for(key, value))
    make_sampler(node, 0)


def make_sampler(node: Mapping[Any, Any], seed: int) -> Any:
    """Returns the sampler that a checked node names, with this seed. An argument that is null has its default."""
    arguments = {str(name): value for name, value in node.items() if value is not None}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Optuna calls some arguments experimental, and others deprecated
        try:
            return _class(arguments.pop("_target_"))(**{**arguments, "seed": seed})
        except (ValueError, TypeError) as error:
            raise UserError(_KEY, None, f"arguments that fit together: {first_line(error)}") from error


def _class(target: str) -> type:
    from optuna import samplers

    return getattr(samplers, target.rpartition(".")[2])


def _rules(target: str) -> dict[str, Rule]:
    """Returns the arguments of a class, besides the seed, that are numbers or flags, with the rules of their values."""
    found = {}
    for name, parameter in inspect.signature(_class(target)).parameters.items():
        kinds = {kind.strip() for kind in str(parameter.annotation).split("|")} - {"None"}
        if name != "seed" and len(kinds) == 1 and (kind := kinds.pop()) in _RULES:
            found[name] = _RULES[kind]
    return found
