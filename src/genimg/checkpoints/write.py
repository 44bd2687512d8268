"""Writes checkpoints atomically."""

import contextlib
import io
import os
from pathlib import Path
from typing import Any

import torch

from genimg.checkpoints.schema import Checkpoint
from genimg.common.files import atomic_write, temporary_name


def save_checkpoint(path: Path, checkpoint: Checkpoint, previous: Path | None = None) -> None:
    """Writes a checkpoint. A crash or a full disk at any moment leaves the existing file at `path` intact.

    previous: second name for the existing file, so that it is kept.
    """
    if previous is not None and path.exists():
        with contextlib.suppress(OSError):  # a file system without hard links keeps one file
            _link(path, previous)
    content = io.BytesIO()  # torch's own file writer reports a full disk as a format error
    torch.save(checkpoint, content)
    with atomic_write(path) as file:
        file.write(content.getbuffer())


def keep(path: Path, second: Path) -> None:
    """Gives a file a second name, whose content stays when the first is replaced. An existing `second` is replaced."""
    try:
        _link(path, second)
    except OSError:  # a file system without hard links
        with atomic_write(second) as file:
            file.write(path.read_bytes())


def _link(path: Path, second: Path) -> None:
    temporary = temporary_name(second)
    os.link(path, temporary)
    try:
        os.replace(temporary, second)
    finally:
        temporary.unlink(missing_ok=True)


def copy_to_cpu(state: Any) -> Any:
    """Returns nested plain types with their tensors copied to the CPU, so that no later step changes them."""
    if isinstance(state, torch.Tensor):
        return state.detach().to("cpu", copy=True)
    if isinstance(state, dict):
        return {name: copy_to_cpu(part) for name, part in state.items()}
    return type(state)(map(copy_to_cpu, state)) if isinstance(state, list | tuple) else state
