"""The fields of a checkpoint. Each entry of `FIELDS` holds the writer and the checks of one field.

A checkpoint holds plain types and tensors only. It is enough to sample: the resolved configuration says which classes
to build. To add a field, add an entry to `FIELDS`.
"""

from __future__ import annotations

import math
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

import torch
from torch import Tensor
from torch.optim import Optimizer

from genimg import __version__
from genimg.common.limits import LARGEST_INTEGER, LARGEST_ITEM, check_sides
from genimg.common.run_config import check_values, permitted
from genimg.models.base import GenerativeModel

FORMAT = 15  # raise it when the fields, or the weights of a network, change

Checkpoint = dict[str, Any]


@dataclass(frozen=True)
class RunState:
    """State of a training run between two steps: what the writers of `FIELDS` read."""

    config: dict[str, Any]
    model: GenerativeModel
    ema: dict[str, Any]  # the state of the callback: the chosen average as `weights`, its name, and the others
    optimizers: Sequence[Optimizer]
    scaler: dict[str, Any]  # the state of the gradient scaler; empty without one
    data: Any  # the data module
    images_seen: int
    seconds: float  # trained
    expected_images: int | None  # of the complete run, as first estimated
    processes: list[dict[str, Any]]  # `process_state` of each, by rank
    metrics: dict[str, float]  # the latest value of each
    since_best: int  # measurements of the monitored metric since its best value
    callbacks: dict[str, dict[str, Any]]  # states of the callbacks of other packages, by their `state_key`


@dataclass(frozen=True)
class Field:
    """One field of a checkpoint.

    write: returns the value to store.
    expected: what the value is, for messages.
    check: whether sampling and evaluation can use a value. Its second argument is the checkpoint.
    check_to_resume: whether a run can resume from a value.
    to_sample: whether a sampler needs the value besides the weights and the configuration, so that exports contain it.
    """

    write: Callable[[RunState], Any]
    expected: str
    check: Callable[[Any, Checkpoint], bool] | None = None
    check_to_resume: Callable[[Any, Checkpoint], bool] | None = None
    to_sample: bool = False


def capture(run: RunState) -> Checkpoint:
    """Returns a checkpoint of the run. Its tensors are those of the run, not copies."""
    return {"format": FORMAT, **{name: field.write(run) for name, field in FIELDS.items()}}


def check_fields(checkpoint: Checkpoint, to_resume: bool = False) -> None:
    """Raises ValueError unless the fields have the right types and ranges.

    to_resume: checks what only a resumed run reads, besides. Optimizers validate the content of their own state:
        `training/callbacks/optimizers.py`.
    """
    for name, field in FIELDS.items():
        for check in (field.check, field.check_to_resume if to_resume else None):
            if check is not None and not check(checkpoint.get(name), checkpoint):
                raise ValueError(f"its {name} is not {field.expected}")


def versions() -> dict[str, str]:
    """Returns the versions that a checkpoint is written with."""
    return {"genimg": __version__, "torch": str(torch.__version__), "python": platform.python_version()}


def _write_data(run: RunState) -> dict[str, Any]:
    data = run.data
    return {
        "fingerprint": data.fingerprint,
        "classes": list(data.classes),
        "actions": list(data.actions),
        "image_shape": list(data.image_shape),
        "num_frames": data.num_frames,
    }


def _check_config(value: dict[str, Any]) -> bool:
    """Raises ValueError for a key that a saved configuration may not set, and for a value that its rule refuses."""
    check_values(permitted(value))
    return True


def _check_data(value: Any, checkpoint: Checkpoint) -> bool:
    shape, frames, classes, prints = (value.get(n) for n in ("image_shape", "num_frames", "classes", "fingerprint"))
    actions, model = value.get("actions"), checkpoint["config"]["model"]
    if not (_is_list(shape, _is_count) and len(shape) == 3 and (frames is None or _is_count(frames))):
        return False
    if math.prod(shape) * (frames or 1) > LARGEST_ITEM:
        raise ValueError(f"its images are {frames} frames of {shape}: more than {LARGEST_ITEM:,} values")
    check_sides(*shape[1:])
    if not all(_is_list(names, lambda one: isinstance(one, str)) for names in (classes, actions)):
        return False
    for key, names in (("classes", classes), ("actions", actions)):
        if model.get(f"num_{key}") not in (None, 0, len(names)):
            raise ValueError(f"its model has other {key} than the {len(names)} of its data")
    if "num_frames" not in value or not isinstance(prints, dict) or not isinstance(prints.get("name"), str):
        return False
    return _is_count(prints.get("count")) and _is_list(prints.get("shape"), _is_count)


def process_state(pending: list[dict[str, Tensor]], unwritten: list[dict[str, Any]]) -> dict[str, Any]:
    """Returns the state that the processes of a run do not share.

    It includes torch's random generators. All other random numbers of training are functions of seeds and counters.

    pending: metrics of the steps since the last row.
    unwritten: rows that the disk refused.
    """
    state = {"random": torch.get_rng_state(), "pending": pending, "unwritten": unwritten}
    return state | ({"cuda": torch.cuda.get_rng_state()} if torch.cuda.is_available() else {})


def _is_process(state: Any) -> bool:
    if not isinstance(state, dict):
        return False
    try:
        torch.Generator().set_state(state.get("random"))  # pyright: ignore[reportArgumentType]
    except (RuntimeError, TypeError):
        return False
    return _is_list(state.get("pending"), _are_scalars) and _is_list(state.get("unwritten"), _is_row)


def _are_scalars(step: object) -> bool:
    return isinstance(step, dict) and all(isinstance(one, Tensor) and one.ndim == 0 for one in step.values())


def _is_row(row: Any) -> bool:
    plain = isinstance(row, dict) and all(isinstance(one, str | int | float | None) for one in row.values())
    return plain and all(isinstance(name, str) for name in row) and _is_count(row.get("images_seen"), 0)


def _is_optimizer(state: Any) -> bool:
    mappings = isinstance(state, dict) and isinstance(state.get("state"), dict)
    return mappings and _is_list(state.get("param_groups"), lambda group: isinstance(group, dict))


def _is_scaler(state: Any, precision: Any) -> bool:
    if precision != "16-mixed":
        return state == {}
    usual: dict[str, Any] = torch.amp.GradScaler("cpu").state_dict()
    if not isinstance(state, dict) or state.keys() != usual.keys():
        return False
    if any(type(value) is not type(usual[name]) for name, value in state.items()):
        return False
    counts = 1 <= state["growth_interval"] < 2**31 and 0 <= state["_growth_tracker"] < 2**31
    return counts and 0 < state["scale"] < math.inf and 0 < state["backoff_factor"] < 1 < state["growth_factor"] < 10


def _are_weights(value: object, checkpoint: Checkpoint) -> bool:
    # without elements, a weight has any shape in no bytes
    return _is_mapping(value, lambda one: isinstance(one, Tensor) and one.numel() > 0)


def _are_averages(value: Any, checkpoint: Checkpoint) -> bool:
    others = _has_mappings(value, "others") and _is_mapping(value["others"], lambda one: _are_weights(one, checkpoint))
    return others and isinstance(value.get("chosen"), str)


def _is_mapping(value: object, check: Callable[[Any], bool]) -> bool:
    return isinstance(value, dict) and all(isinstance(name, str) and check(one) for name, one in value.items())


def _has_mappings(value: object, *names: str) -> bool:
    return isinstance(value, dict) and all(isinstance(value.get(name), dict) for name in names)


def _is_list(value: object, check: Callable[[Any], bool]) -> TypeGuard[list[Any]]:
    return isinstance(value, list) and all(map(check, value))


def _is_count(value: object, least: int = 1) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= LARGEST_INTEGER


#: In the order of the file. `config` comes before `data`, whose check reads it.
FIELDS: dict[str, Field] = {
    "versions": Field(
        lambda run: versions(),
        "a mapping of names to versions",
        lambda value, _: _is_mapping(value, lambda one: isinstance(one, str)),
        to_sample=True,
    ),
    "config": Field(
        lambda run: run.config,
        "a configuration of training",
        lambda value, _: _has_mappings(value, "model", "data") and _check_config(value),
        lambda value, _: _has_mappings(value, "trainer", "callbacks", "health"),
    ),
    "model": Field(lambda run: dict(run.model.state_dict()), "tensors by name, none of them empty", _are_weights),
    "ema": Field(lambda run: run.ema["weights"], "tensors by name, none of them empty", _are_weights),
    "averages": Field(
        lambda run: {"chosen": run.ema["chosen"], "others": run.ema["others"]},
        "the name of the average in `ema`, and other averages of the weights by name",
        check_to_resume=_are_averages,
    ),
    "optimizers": Field(
        lambda run: [optimizer.state_dict() for optimizer in run.optimizers],
        "a list of states of optimizers",
        check_to_resume=lambda value, _: _is_list(value, _is_optimizer),
    ),
    "scaler": Field(
        lambda run: run.scaler,
        "the state of a gradient scaler, or empty",
        check_to_resume=lambda value, checkpoint: _is_scaler(value, checkpoint["config"]["trainer"].get("precision")),
    ),
    "data": Field(
        _write_data,
        "a description of data: shape of the images, frames, classes, actions and fingerprint",
        lambda value, checkpoint: isinstance(value, dict) and _check_data(value, checkpoint),
        to_sample=True,
    ),
    "images_seen": Field(
        lambda run: run.images_seen, "a number of images", lambda value, _: _is_count(value, 0), to_sample=True
    ),
    "clock": Field(
        lambda run: {"seconds": run.seconds, "expected_images": run.expected_images},
        "a time trained and an estimated number of images",
        lambda value, _: isinstance(value, dict) and isinstance(value.get("seconds"), int | float),
        lambda value, _: value.get("expected_images", 0.5) is None or _is_count(value.get("expected_images"), 0),
        to_sample=True,
    ),
    "rollbacks": Field(
        lambda run: run.model.rollbacks, "a number", check_to_resume=lambda value, _: _is_count(value, 0)
    ),
    "processes": Field(
        lambda run: run.processes,
        "a list of states of random generators and metrics",
        check_to_resume=lambda value, _: _is_list(value, _is_process),
    ),
    "metrics": Field(
        lambda run: run.metrics,
        "numbers by name",
        check_to_resume=lambda value, _: _is_mapping(value, lambda one: isinstance(one, int | float)),
    ),
    "since_best": Field(lambda run: run.since_best, "a number", check_to_resume=lambda value, _: _is_count(value, 0)),
    "callbacks": Field(
        lambda run: run.callbacks,
        "states by name",
        check_to_resume=lambda value, _: _is_mapping(value, lambda one: isinstance(one, dict)),
    ),
}
