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
        second_name = temporary_name(previous)
        with contextlib.suppress(OSError):  # a file system without hard links keeps one file
            os.link(path, second_name)
            try:
                os.replace(second_name, previous)
            finally:
                second_name.unlink(missing_ok=True)
    content = io.BytesIO()  # torch's own file writer reports a full disk as a format error
    torch.save(checkpoint, content)
    with atomic_write(path) as file:
        file.write(content.getbuffer())


def copy_to_cpu(state: Any) -> Any:
    """Returns nested plain types with their tensors copied to the CPU, so that no later step changes them."""
    if isinstance(state, torch.Tensor):
        return state.detach().to("cpu", copy=True)
    if isinstance(state, dict):
        return {name: copy_to_cpu(part) for name, part in state.items()}
    return type(state)(map(copy_to_cpu, state)) if isinstance(state, list | tuple) else state
