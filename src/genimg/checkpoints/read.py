"""Reads checkpoints, including untrusted ones, and rebuilds models from them.

`torch.load(weights_only=True)` runs no code from the file, and only allowed classes are built.
"""

import logging
import pickle
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
from genimg.checkpoints.archive import check_content, checked_archive
from genimg.checkpoints.schema import FORMAT, Checkpoint, check_fields
from genimg.common.build import Builder, names_only_allowed
from genimg.common.errors import UserError, first_line, in_a_line
from genimg.common.run_folder import RunFolder
from genimg.models.base import GenerativeModel

log = logging.getLogger(__name__)


def load_checkpoint(path: Path, key: str = "run") -> Checkpoint:
    """Reads and validates a checkpoint on the CPU.

    Args:
        key: the setting that named the file, for messages.

    Raises:
        UserError: if the file is missing, damaged, of another format, or no checkpoint of this project.
    """
    expected = "a checkpoint written by genimg-train"
    if path.suffix == ".safetensors":
        hint = "an export is loaded in Python: genimg.load(FILE).sample(16)"
        raise UserError(key, str(path), expected, hint)
    try:
        checkpoint = torch.load(checked_archive(path), map_location="cpu", weights_only=True)
        check_content(checkpoint, path.stat().st_size)
    except FileNotFoundError as error:
        raise UserError(key, str(path), expected, hint="there is no such file") from error
    except pickle.UnpicklingError as error:  # torch's message advises to load the file unsafely
        raise UserError(key, str(path), expected, hint="it contains more than plain values and tensors") from error
    except Exception as error:  # torch raises half a dozen types for a damaged or foreign file
        raise UserError(key, str(path), expected, hint=f"it cannot be read: {first_line(error)}") from error
    if not isinstance(checkpoint, dict) or "format" not in checkpoint or "model" not in checkpoint:
        raise UserError(key, str(path), expected, hint="it is not a mapping with the keys format and model")
    if not isinstance(checkpoint["format"], int) or checkpoint["format"] != FORMAT:
        raise UserError(
            key,
            f"{path} of format {in_a_line(str(checkpoint['format']))[:20]}",
            f"format {FORMAT}, which genimg {__version__} reads",
            hint="use the version of genimg that wrote it, or train again",
        )
    try:
        check_fields(checkpoint)
    except ValueError as error:
        raise UserError(key, str(path), expected, hint=str(error)) from error
    return checkpoint


def load_to_resume(path: Path) -> Checkpoint:
    """Reads a checkpoint as `load_checkpoint` does, and validates the fields that a resumed run reads."""
    checkpoint = load_checkpoint(path, key="resume")
    try:
        check_fields(checkpoint, to_resume=True)
    except ValueError as error:
        raise UserError("resume", str(path), "a checkpoint that a run can resume from", hint=str(error)) from error
    return checkpoint


def load_newest(folder: RunFolder) -> Checkpoint:
    """Reads the last checkpoint of a run to resume it; if it is missing or damaged, the newest one that is intact."""
    found: list[Checkpoint] = []
    problems: list[UserError] = []
    kept = folder.kept()
    for file in (folder.last, folder.previous, *reversed(kept), folder.best):
        if found and file in kept:  # one is enough: they may be hundreds
            continue
        try:
            found += [load_to_resume(file)] if file.exists() else []
        except UserError as error:
            problems.append(error)
        if file == folder.last and found:
            return found[0]
    if not found:
        raise problems[0] if problems else UserError("resume", str(folder.path), "a run with a checkpoint")
    newest = max(found, key=lambda checkpoint: checkpoint["images_seen"])
    reason = "; ".join(in_a_line(str(error)) for error in problems) or "it does not exist"
    seen = f"{newest['images_seen']:,}"
    log.warning("last.pt cannot be read (%s): resuming from an older checkpoint, at %s images", reason, seen)
    return newest


def rebuild_model(checkpoint: Checkpoint, trust: Iterable[str] | None = ()) -> GenerativeModel:
    """Returns the model of a checkpoint with its EMA weights, in eval mode, on the CPU.

    Args:
        trust: packages besides this one whose classes the checkpoint may name; None allows all.

    Raises:
        UserError: if the configuration names a class that is not allowed, or does not match the weights.
    """
    builder = Builder(trust)
    node, state = checkpoint["config"]["model"], {**checkpoint["model"], **checkpoint["ema"]}
    check_fits(node, state, builder)
    model = builder.build(node, "model")
    check_produces(model, checkpoint)
    model.load_state_dict(state)
    return model.eval()


def check_produces(model: object, checkpoint: Checkpoint, key: str = "run") -> None:
    """Raises UserError unless the model generates, and the data of its checkpoint are of the kind that it produces."""
    if not isinstance(model, GenerativeModel):
        raise UserError(key, f"a {type(model).__name__}", "a configuration of a model")
    kind = "images" if checkpoint["data"]["num_frames"] is None else "sequences"
    if model.produces != kind:
        expected = f"data of the kind that a {type(model).__name__} produces: {model.produces}"
        raise UserError(key, f"a checkpoint with data that are {kind}", expected)


def check_fits(node: Any, state: dict[str, Tensor], builder: Builder, key: str = "run") -> None:
    """Raises UserError unless the model of a configuration has the weights in `state`, by name and shape.

    The model is built without memory, on torch's meta device, and no further than twice the tensors in `state`: width
    or num_classes may be 10^12. A trusted class that cannot be built this way is not checked.
    """
    try:
        with torch.device("meta"), limit_tensors(2 * len(state) + 100):
            model = builder.build(node, "model")
    except UserError:
        if names_only_allowed(node):
            raise
        return
    check_weights(model, state, key)
    check_latents(node, state, key)


def check_latents(node: Any, state: dict[str, Tensor], key: str) -> None:
    """Raises UserError unless a weight of the model has a side of its `latent_dim`, which may be 10^10."""
    if not names_only_allowed(node) or "latent_dim" not in node:
        return
    latent_dim = node["latent_dim"]
    number = isinstance(latent_dim, int) and not isinstance(latent_dim, bool)
    if not number or not any(latent_dim in one.shape for one in state.values()):
        raise UserError(key, f"latent_dim {latent_dim!r:.60}", "the length of the latents that its weights take")


def check_weights(model: object, state: dict[str, Tensor], key: str) -> None:
    """Raises UserError unless `state` has the model's weights, by name and shape."""
    if not isinstance(model, nn.Module):
        raise UserError(key, f"a {type(model).__name__}", "a configuration of a model")
    wanted = {name: tuple(one.shape) for name, one in model.state_dict().items()}
    given = {name: tuple(one.shape) for name, one in state.items()}
    for name in sorted(wanted.keys() | given.keys()):
        if wanted.get(name) != given.get(name):
            got = f"{name} of shape {given[name]}" if name in given else f"no {name}"
            expected = f"shape {wanted[name]}" if name in wanted else "no such weights"
            raise UserError(key, got, f"{expected}, as in its configuration")


@contextmanager
def limit_tensors(count: int) -> Iterator[None]:
    """Raises ValueError at the first parameter or buffer registered beyond `count`."""
    registered = 0

    def register(*_: Any) -> None:
        nonlocal registered
        registered += 1
        if registered > count:
            raise ValueError(f"its configuration needs more than {count:,} tensors, and it has at most half of them")

    hooks = (register_module_parameter_registration_hook(register), register_module_buffer_registration_hook(register))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
