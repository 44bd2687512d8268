"""A checkpoint's file and what it holds, held against each other: a small file never asks for a large memory.

`torch.load(weights_only=True)` runs no code, but it unpacks compressed records, lets a tensor of one number pose as one
of billions (stride 0), and calls what allocates. No checkpoint of ours needs any of that.
"""

from __future__ import annotations

import io
import pickletools
import re
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genimg.common.limits import LARGEST_ITEM, check_sides

LARGEST_PICKLE = 2**24  # bytes of the part that is no numbers; a model of 1,000 tensors has some 200,000
MOST_PARTS = 10**6  # dictionaries, lists and values, each counted as often as it is referred to
DEEPEST = 40  # dictionaries in dictionaries
SHARED = 2  # times a file's size that its tensors may take: two names of one tensor count twice

#: What the pickle may call or name: see `torch.save` of plain types and tensors.
_GLOBALS = re.compile(
    r"collections OrderedDict|torch\._utils _rebuild_(tensor_v2|parameter)"
    r"|torch (Size|\w+Storage|bfloat16|float\d+|u?int\d+|bool)"
)


def checked_archive(path: Path) -> io.BytesIO:
    """The archive at `path` in memory, each part compared with its CRC-32, for torch to read.

    It is packed anew from what was checked: torch's reader finds its parts by other ways than Python's, and in a file
    that is made for it the two see different ones. Raises ValueError for what `torch.save` does not write or what has
    changed since, OSError where there is no file.
    """
    packed = io.BytesIO()
    try:
        with zipfile.ZipFile(path) as archive, zipfile.ZipFile(packed, "w") as copy:
            parts = archive.infolist()
            stored = all(part.compress_type == zipfile.ZIP_STORED for part in parts)
            if not stored or sum(part.file_size for part in parts) > path.stat().st_size:
                raise ValueError("it unpacks to more than it has")
            if len({part.filename.lower() for part in parts}) < len(parts):  # torch takes a.pkl for A.PKL
                raise ValueError("two parts of it have one name")
            pickles = [part for part in parts if part.filename.endswith(".pkl")]
            if len(pickles) != 1 or pickles[0].file_size > LARGEST_PICKLE:
                raise ValueError("it has no data.pkl, or one that is too large")
            _check_names(archive.read(pickles[0]))
            for part in parts:
                copy.writestr(part.filename, archive.read(part))
    except zipfile.BadZipFile as error:
        raise ValueError(f"it is damaged, or no whole archive: {error}") from error
    packed.seek(0)
    return packed


def _check_names(pickled: bytes) -> None:
    """ValueError where the pickle calls or names what plain types and tensors do not need."""
    for operation, argument, _ in pickletools.genops(pickled):
        named = argument if operation.name == "GLOBAL" else operation.name
        if operation.name in ("GLOBAL", "STACK_GLOBAL", "INST") and not _GLOBALS.fullmatch(str(named)):
            raise ValueError(f"it names {named}, where plain types and tensors are expected")


def check_content(content: Any, size: int) -> None:
    """After torch has read `size` bytes, before anything is done with them. Raises ValueError."""
    waiting, parts, tensors = [(content, 0)], 0, 0
    while waiting:
        part, depth = waiting.pop()
        parts += 1
        if parts > MOST_PARTS or depth > DEEPEST:
            raise ValueError(f"it has more than {MOST_PARTS:,} parts, or they lie more than {DEEPEST} deep")
        if isinstance(part, Tensor):
            tensors += part.numel() * part.element_size()
            if part.device.type != "cpu" or part.layout != torch.strided or tensors > SHARED * size:
                raise ValueError(f"its tensors take more than the {size:,} bytes that it has")
        elif isinstance(part, dict):
            waiting += [(one, depth + 1) for one in (*part.keys(), *part.values())]
        elif isinstance(part, list | tuple):
            waiting += [(one, depth + 1) for one in part]
        elif isinstance(part, int) and abs(part) >= 2**63:
            raise ValueError("it holds a number of more than 64 bits")
        elif not isinstance(part, str | int | float | bool | torch.dtype | None):
            raise ValueError(f"it holds a {type(part).__name__}, where plain types are expected")


def check_fields(checkpoint: dict[str, Any]) -> None:
    """Raises ValueError unless all is there that a sample or an evaluation reads, of its kind and in its range."""
    for name in ("model", "ema"):
        weights = checkpoint.get(name)
        if not (isinstance(weights, dict) and all(isinstance(one, Tensor) for one in weights.values())):
            raise ValueError(f"its {name} is not weights by name")
    config, data = checkpoint.get("config"), checkpoint.get("data")
    if not (
        isinstance(config, dict) and isinstance(config.get("model"), dict) and isinstance(config.get("data"), dict)
    ):
        raise ValueError("it has no configuration of a model and its data")
    if not isinstance(data, dict):
        raise ValueError("it does not tell its data")
    shape, frames, classes = data.get("image_shape"), data.get("num_frames"), data.get("classes")
    if not (isinstance(shape, list) and len(shape) == 3 and all(map(_counts, shape))):
        raise ValueError(f"its images have the shape {shape!r:.60}")
    if not (frames is None or _counts(frames)) or shape[0] * shape[1] * shape[2] * (frames or 1) > LARGEST_ITEM:
        raise ValueError(f"its images are {frames} frames of {shape}: more than {LARGEST_ITEM:,} values")
    check_sides(*shape[1:])
    if not (isinstance(classes, list) and all(isinstance(name, str) for name in classes)):
        raise ValueError("its classes are not a list of names")
    if config["model"].get("num_classes") not in (None, 0, len(classes)):
        raise ValueError(f"its model has other classes than the {len(classes)} of its data")
    prints = data.get("fingerprint")
    if not (isinstance(prints, dict) and _counts(prints.get("count")) and isinstance(prints.get("shape"), list)):
        raise ValueError("it has no fingerprint of its data")
    clock, seen = checkpoint.get("clock"), checkpoint.get("images_seen")
    if not (_counts(seen, 0) and isinstance(clock, dict) and isinstance(clock.get("seconds"), int | float)):
        raise ValueError("it does not tell how long it was trained")
    if not (clock.get("expected_images") is None or _counts(clock["expected_images"], 0)):
        raise ValueError(f"its run was expected to see {clock['expected_images']!r:.60} images")
    if not isinstance(checkpoint.get("versions"), dict):
        raise ValueError("it does not tell the versions it was made with")


def check_training(checkpoint: dict[str, Any]) -> None:
    """Raises ValueError unless all is there that a run goes on from, of its kind.

    What the optimizers can go on from they know themselves: `callbacks/optimizers.py`.
    """
    optimizers, processes, figures = (checkpoint.get(name) for name in ("optimizers", "processes", "figures"))
    if not all(isinstance(checkpoint["config"].get(name), dict) for name in ("trainer", "callbacks")):
        raise ValueError("it has no configuration of its trainer and its callbacks")
    if not (isinstance(optimizers, list) and all(map(_is_optimizer, optimizers))):
        raise ValueError("its optimizers are not states of optimizers")
    if not (isinstance(processes, list) and all(map(_is_process, processes))):
        raise ValueError("its processes have not the states of random generators and figures")
    if not (
        isinstance(figures, dict)
        and "best" in figures
        and all(one is None or isinstance(one, int | float) for one in figures.values())
    ):
        raise ValueError("its figures are not numbers by name")
    if (
        not _counts(checkpoint.get("rollbacks"), 0)
        or checkpoint["clock"].get("images_seen") != checkpoint["images_seen"]
    ):
        raise ValueError("it does not tell where it was")


def _is_optimizer(state: object) -> bool:
    if not (isinstance(state, dict) and isinstance(state.get("state"), dict)):
        return False
    groups = state.get("param_groups")
    return isinstance(groups, list) and all(isinstance(group, dict) for group in groups)


def _is_process(state: object) -> bool:
    if not (isinstance(state, dict) and isinstance(state.get("pending"), list)):
        return False
    try:
        torch.Generator().set_state(state.get("random"))  # pyright: ignore[reportArgumentType]
    except (RuntimeError, TypeError):
        return False
    steps, rows = state["pending"], state.get("unwritten", [])  # of 0.5.0 and before there are no rows
    return all(isinstance(step, dict) and all(map(_is_figure, step.values())) for step in steps) and _are_rows(rows)


def _are_rows(rows: object) -> bool:
    return isinstance(rows, list) and all(
        isinstance(row, dict)
        and all(isinstance(name, str) for name in row)
        and all(isinstance(value, str | int | float | None) for value in row.values())
        and _counts(row.get("images_seen"), 0)
        for row in rows
    )


def _is_figure(value: object) -> bool:
    return isinstance(value, Tensor) and value.ndim == 0


def _counts(value: object, least: int = 1) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value < 2**63
