"""Checkpoints: whole, safe to open, and never half written.

A checkpoint holds plain types only, so `torch.load(weights_only=True)` reads it and no code of a stranger runs.
It needs nothing else to sample: the resolved configuration says which classes to build, from an allow-list.
"""

import contextlib
import io
import os
import platform
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from genimg import __version__
from genimg.build import build
from genimg.errors import UserError
from genimg.files import whole
from genimg.models.base import GenerativeModel

FORMAT = 4  # raised where what a checkpoint holds, or the weights of a network, no longer fit: 4 since 0.5.0

Checkpoint = dict[str, Any]


def save_checkpoint(path: Path, checkpoint: Checkpoint, previous: Path | None = None) -> None:
    """A crash or a full disk at any moment leaves the older file as it was; `previous` names it once there is a newer.

    Each part of the file has its CRC-32, which `load_checkpoint` compares.
    """
    if previous is not None and path.exists():
        second_name = previous.with_suffix(".tmp")
        with contextlib.suppress(OSError):  # a disk without hard links keeps one
            second_name.unlink(missing_ok=True)
            os.link(path, second_name)
            os.replace(second_name, previous)
    content = io.BytesIO()  # torch's own writer tells a full disk as an error of its format
    torch.save(checkpoint, content)
    with whole(path) as file:
        file.write(content.getbuffer())


def load_checkpoint(path: Path, key: str = "run") -> Checkpoint:
    """Read a checkpoint on the CPU. `key` is what the user named it by.

    Raises:
        UserError: if the file is missing, damaged, or not a checkpoint of this project.
    """
    expected = "a checkpoint written by genimg-train"
    try:
        if zipfile.is_zipfile(path) and (damaged := zipfile.ZipFile(path).testzip()):
            raise ValueError(f"{damaged} in it is damaged")
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise UserError(key=key, got=str(path), expected=expected, hint="there is no such file") from error
    except Exception as error:  # torch raises half a dozen types for a damaged or foreign file
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(key=key, got=str(path), expected=expected, hint=f"it cannot be read: {reason}") from error
    if not isinstance(checkpoint, dict) or "format" not in checkpoint or "model" not in checkpoint:
        raise UserError(key=key, got=str(path), expected=expected, hint="it holds something else")
    if checkpoint["format"] != FORMAT:
        raise UserError(
            key=key,
            got=f"{path} of format {checkpoint['format']}",
            expected=f"format {FORMAT}, which version {__version__} reads",
            hint=f"use version {checkpoint.get('versions', {}).get('genimg')}, which wrote it, or train anew",
        )
    return checkpoint


def rebuild_model(checkpoint: Checkpoint, trust: Iterable[str] | None = ()) -> GenerativeModel:
    """The model of a checkpoint with its averaged weights in place, in eval mode, on the CPU.

    `trust` names packages besides this one whose classes it may be made of; None allows all, for one's own run.

    Raises:
        UserError: if its configuration names a target outside the allow-list.
    """
    model = build(checkpoint["config"]["model"], trust=trust)
    model.load_state_dict({**checkpoint["model"], **checkpoint["ema"]})
    return model.eval()


def versions() -> dict[str, str]:
    """What the checkpoint was made with."""
    return {"genimg": __version__, "torch": str(torch.__version__), "python": platform.python_version()}
