"""The fields of a checkpoint. Each entry of `FIELDS` holds the writer and the validators of one field.

A checkpoint holds plain types and tensors only. It is enough to sample: the resolved configuration says which classes
to build. To add a field, add an entry to `FIELDS`.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from genimg import __version__
from genimg.common.limits import LARGEST_ITEM, check_sides
from genimg.models.base import GenerativeModel

FORMAT = 5  # raise it when the fields, or the weights of a network, change

Checkpoint = dict[str, Any]


@dataclass(frozen=True)
class RunState:
    """State of a training run between two steps.

    data: the data module.
    seconds: time trained.
    expected_images: images of the complete run, as first estimated; None before the first estimate.
    processes: `process_state` of each process, by rank.
    metrics: latest value of each metric.
    """

    config: dict[str, Any]
    model: GenerativeModel
    ema: dict[str, Tensor]
    optimizers: Sequence[Optimizer]
    data: Any
    images_seen: int
    seconds: float
    expected_images: int | None
    processes: list[dict[str, Any]]
    metrics: dict[str, float]


@dataclass(frozen=True)
class Field:
    """One field of a checkpoint.

    write: returns the value to store.
    check: raises ValueError unless sampling and evaluation can use the value. Its second argument is the checkpoint.
    check_to_resume: raises ValueError unless a run can resume from the value.
    """

    write: Callable[[RunState], Any]
    check: Callable[[Any, Checkpoint], None] | None = None
    check_to_resume: Callable[[Any, Checkpoint], None] | None = None


def capture(run: RunState) -> Checkpoint:
    """Returns a checkpoint of the run. Its tensors are those of the run, not copies."""
    return {"format": FORMAT, **{name: field.write(run) for name, field in FIELDS.items()}}


def check_fields(checkpoint: Checkpoint) -> None:
    """Raises ValueError unless every field that sampling and evaluation read has the right types and ranges."""
    for name, field in FIELDS.items():
        if field.check is not None:
            field.check(checkpoint.get(name), checkpoint)


def check_fields_to_resume(checkpoint: Checkpoint) -> None:
    """Raises ValueError unless every field that a resumed run reads has the right types and ranges.

    `check_fields` comes first. Optimizers validate their own state: `training/callbacks/optimizers.py`.
    """
    for name, field in FIELDS.items():
        if field.check_to_resume is not None:
            field.check_to_resume(checkpoint.get(name), checkpoint)


def versions() -> dict[str, str]:
    """Returns the versions that the checkpoint is written with."""
    return {"genimg": __version__, "torch": str(torch.__version__), "python": platform.python_version()}


def _check_versions(value: object, checkpoint: Checkpoint) -> None:
    _require(isinstance(value, dict), "its versions are not a mapping")


def _check_config(value: object, checkpoint: Checkpoint) -> None:
    parts = [value.get(name) for name in ("model", "data")] if isinstance(value, dict) else [None]
    _require(all(isinstance(part, dict) for part in parts), "it has no configuration of a model and its data")


def _check_config_to_resume(value: Any, checkpoint: Checkpoint) -> None:
    parts = [value.get(name) for name in ("trainer", "callbacks", "health")]
    _require(all(isinstance(part, dict) for part in parts), "it has no configuration of its trainer and callbacks")


def _check_weights(value: object, checkpoint: Checkpoint) -> None:
    tensors = isinstance(value, dict) and all(isinstance(one, Tensor) for one in value.values())
    _require(tensors, "its weights are not tensors by name")


def _check_optimizers(value: object, checkpoint: Checkpoint) -> None:
    _require(isinstance(value, list) and all(map(_is_optimizer, value)), "its optimizers are not states of optimizers")


def _is_optimizer(state: object) -> bool:
    if not (isinstance(state, dict) and isinstance(state.get("state"), dict)):
        return False
    groups = state.get("param_groups")
    return isinstance(groups, list) and all(isinstance(group, dict) for group in groups)


def _write_data(run: RunState) -> dict[str, Any]:
    data = run.data
    return {
        "fingerprint": data.fingerprint,
        "classes": list(data.classes),
        "image_shape": list(data.image_shape),
        "num_frames": data.num_frames,
    }


def _check_data(value: object, checkpoint: Checkpoint) -> None:
    if not isinstance(value, dict):
        raise ValueError("it does not describe its data")
    shape, frames, classes = value.get("image_shape"), value.get("num_frames"), value.get("classes")
    if not (isinstance(shape, list) and len(shape) == 3 and all(map(_is_count, shape))):
        raise ValueError(f"its images have the shape {shape!r:.60}")
    if not (frames is None or _is_count(frames)) or shape[0] * shape[1] * shape[2] * (frames or 1) > LARGEST_ITEM:
        raise ValueError(f"its images are {frames} frames of {shape}: more than {LARGEST_ITEM:,} values")
    check_sides(*shape[1:])
    if not (isinstance(classes, list) and all(isinstance(name, str) for name in classes)):
        raise ValueError("its classes are not a list of names")
    if checkpoint["config"]["model"].get("num_classes") not in (None, 0, len(classes)):
        raise ValueError(f"its model has other classes than the {len(classes)} of its data")
    prints = value.get("fingerprint")
    if not (isinstance(prints, dict) and _is_count(prints.get("count")) and isinstance(prints.get("shape"), list)):
        raise ValueError("it has no fingerprint of its data")


def _check_images_seen(value: object, checkpoint: Checkpoint) -> None:
    _require(_is_count(value, 0), "it has no number of images seen")


def _write_clock(run: RunState) -> dict[str, Any]:
    return {"seconds": run.seconds, "expected_images": run.expected_images}


def _check_clock(value: object, checkpoint: Checkpoint) -> None:
    valid = isinstance(value, dict) and isinstance(value.get("seconds"), int | float)
    _require(valid, "it has no time trained")


def _check_clock_to_resume(value: Any, checkpoint: Checkpoint) -> None:
    expected = value.get("expected_images", "")
    _require(expected is None or _is_count(expected, 0), f"its run was expected to see {expected!r:.60} images")


def _check_rollbacks(value: object, checkpoint: Checkpoint) -> None:
    _require(_is_count(value, 0), "it has no number of rollbacks")


def process_state(pending: list[dict[str, Tensor]], unwritten: list[dict[str, Any]]) -> dict[str, Any]:
    """Returns the state that the processes of a run do not share.

    pending: metrics of the steps since the last row.
    unwritten: rows that the disk refused.

    Torch's random generators are added. All other random numbers of training are functions of seeds and counters.
    """
    state = {"random": torch.get_rng_state(), "pending": pending, "unwritten": unwritten}
    return state | ({"cuda": torch.cuda.get_rng_state()} if torch.cuda.is_available() else {})


def _check_processes(value: object, checkpoint: Checkpoint) -> None:
    valid = isinstance(value, list) and all(map(_is_process, value))
    _require(valid, "its processes are not states of random generators and metrics")


def _is_process(state: object) -> bool:
    if not (isinstance(state, dict) and isinstance(state.get("pending"), list)):
        return False
    try:
        torch.Generator().set_state(state.get("random"))  # pyright: ignore[reportArgumentType]
    except (RuntimeError, TypeError):
        return False
    steps, rows = state["pending"], state.get("unwritten")
    are_scalars = all(
        isinstance(step, dict) and all(isinstance(value, Tensor) and value.ndim == 0 for value in step.values())
        for step in steps
    )
    return are_scalars and isinstance(rows, list) and all(map(_is_row, rows))


def _is_row(row: object) -> bool:
    return (
        isinstance(row, dict)
        and all(isinstance(name, str) for name in row)
        and all(isinstance(value, str | int | float | None) for value in row.values())
        and _is_count(row.get("images_seen"), 0)
    )


def _check_metrics(value: object, checkpoint: Checkpoint) -> None:
    numbers = isinstance(value, dict) and all(isinstance(one, int | float) for one in value.values())
    _require(numbers, "its metrics are not numbers by name")


def _require(condition: bool, problem: str) -> None:
    if not condition:
        raise ValueError(problem)


def _is_count(value: object, least: int = 1) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value < 2**63


#: In the order of the file. `config` comes before `data`, whose validator reads it.
FIELDS: dict[str, Field] = {
    "versions": Field(lambda run: versions(), _check_versions),
    "config": Field(lambda run: run.config, _check_config, _check_config_to_resume),
    "model": Field(lambda run: dict(run.model.state_dict()), _check_weights),
    "ema": Field(lambda run: run.ema, _check_weights),
    "optimizers": Field(lambda run: [one.state_dict() for one in run.optimizers], None, _check_optimizers),
    "data": Field(_write_data, _check_data),
    "images_seen": Field(lambda run: run.images_seen, _check_images_seen),
    "clock": Field(_write_clock, _check_clock, _check_clock_to_resume),
    "rollbacks": Field(lambda run: run.model.rollbacks, None, _check_rollbacks),
    "processes": Field(lambda run: run.processes, None, _check_processes),
    "metrics": Field(lambda run: run.metrics, None, _check_metrics),
}
