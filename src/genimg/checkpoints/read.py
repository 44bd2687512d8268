"""Checkpoints: whole, safe to open, and never half written.

A checkpoint holds plain types only, so `torch.load(weights_only=True)` reads it and no code of a stranger runs.
It needs nothing else to sample: the resolved configuration says which classes to build, from an allow-list.
"""

import contextlib
import io
import os
import platform
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import (
    register_module_buffer_registration_hook,
    register_module_parameter_registration_hook,
)

from genimg import __version__
from genimg.checkpoints.archive import check_content, check_fields, check_training, checked_archive
from genimg.common.build import build, only_ours
from genimg.common.errors import UserError, first_line
from genimg.common.files import atomic_write
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
    with atomic_write(path) as file:
        file.write(content.getbuffer())


def load_checkpoint(path: Path, key: str = "run") -> Checkpoint:
    """Read a checkpoint on the CPU. `key` is what the user named it by.

    Raises:
        UserError: if the file is missing, damaged, or not a checkpoint of this project.
    """
    expected = "a checkpoint written by genimg-train"
    try:
        checkpoint = torch.load(checked_archive(path), map_location="cpu", weights_only=True)
        check_content(checkpoint, path.stat().st_size)
    except FileNotFoundError as error:
        raise UserError(key=key, got=str(path), expected=expected, hint="there is no such file") from error
    except Exception as error:  # torch raises half a dozen types for a damaged or foreign file
        reason = first_line(error)
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
    try:
        check_fields(checkpoint)
    except ValueError as error:
        raise UserError(key=key, got=str(path), expected=expected, hint=str(error)) from error
    return checkpoint


def load_to_resume(path: Path) -> Checkpoint:
    """As `load_checkpoint`, with what a run goes on from besides."""
    checkpoint = load_checkpoint(path, key="resume")
    try:
        check_training(checkpoint)
    except ValueError as error:
        raise UserError("resume", str(path), "a checkpoint that a run can go on from", hint=str(error)) from error
    return checkpoint


def rebuild_model(checkpoint: Checkpoint, trust: Iterable[str] | None = ()) -> GenerativeModel:
    """The model of a checkpoint with its averaged weights in place, in eval mode, on the CPU.

    `trust` names packages besides this one whose classes it may be made of; None allows all, for one's own run.

    Raises:
        UserError: if its configuration names a target outside the allow-list, or asks for other weights than it has.
    """
    node, state = checkpoint["config"]["model"], {**checkpoint["model"], **checkpoint["ema"]}
    check_fits(node, state, trust)
    model = build(node, trust, "model")
    model.load_state_dict(state)
    return model.eval()


def check_fits(node: Any, state: dict[str, Tensor], trust: Iterable[str] | None, key: str = "run") -> None:
    """UserError unless the model of a configuration has the weights in `state`, by name and shape.

    It is built without memory (torch's meta device) and given up once it has many more tensors than there are: width
    or num_classes may be 10^12. A class that the user trusts may need memory to be built; then nothing is checked.
    """
    trust = None if trust is None else tuple(trust)
    try:
        with torch.device("meta"), at_most(2 * len(state) + 100):
            model = build(node, trust, "model")
    except UserError:
        if only_ours(node):
            raise
        return
    check_weights(model, state, key)
    check_latents(node, model, state, key)


def check_latents(node: Any, model: object, state: dict[str, Tensor], key: str) -> None:
    """UserError where none of its weights takes latents of the length that the model draws, which may be 10^10."""
    latent_dim = getattr(model, "latent_dim", None)
    if latent_dim is not None and only_ours(node) and not any(latent_dim in one.shape for one in state.values()):
        raise UserError(key, f"latent_dim {latent_dim!r:.60}", "the length of a latent that its weights take")


def check_weights(model: object, state: dict[str, Tensor], key: str) -> None:
    """UserError unless `state` has a model's weights, by name and shape."""
    if not isinstance(model, nn.Module):
        raise UserError(key, f"a {type(model).__name__}", "a configuration of a model")
    wanted = {name: tuple(one.shape) for name, one in model.state_dict().items()}
    given = {name: tuple(one.shape) for name, one in state.items()}
    for name in sorted(wanted.keys() | given.keys()):
        if wanted.get(name) != given.get(name):
            got = f"{name} of shape {given[name]}" if name in given else f"no {name}"
            expected = f"one of shape {wanted[name]}" if name in wanted else "no such weights"
            raise UserError(key, got, f"{expected}, as its configuration asks for")


@contextmanager
def at_most(tensors: int) -> Iterator[None]:
    """ValueError at the first parameter or buffer beyond so many."""
    count = 0

    def registered(*_: Any) -> None:
        nonlocal count
        count += 1
        if count > tensors:
            raise ValueError(
                f"its configuration asks for more than {tensors:,} tensors, and it has half of them at most"
            )

    hooks = (
        register_module_parameter_registration_hook(registered),
        register_module_buffer_registration_hook(registered),
    )
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def versions() -> dict[str, str]:
    """What the checkpoint was made with."""
    return {"genimg": __version__, "torch": str(torch.__version__), "python": platform.python_version()}
