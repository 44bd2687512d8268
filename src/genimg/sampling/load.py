"""From a run to its sampler: `load("RUN").sample(16)`."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from genimg.checkpoints.read import Checkpoint, load_checkpoint, rebuild_model
from genimg.common.errors import UserError
from genimg.common.run_folder import RunFolder, find_run
from genimg.models.base import GenerativeModel
from genimg.sampling.export import weights
from genimg.sampling.sampler import Sampler

log = logging.getLogger(__name__)


def load(
    run: str | Path,
    *,
    checkpoint: str = "best",
    device: str = "auto",
    trust: Iterable[str] | None = (),
    outputs: str | Path = "outputs",
) -> Sampler:
    """The sampler of a run folder, a checkpoint file, an export (safetensors), or "last", the newest run in `outputs`.

    Args:
        checkpoint: "best" or "last" of a run folder.
        device: "auto" (CUDA where there is one), "cpu", "cuda", "cuda:1".
        trust: packages besides this one whose classes the checkpoint may name; None allows all of them.
    """
    file = checkpoint_file(run, checkpoint, outputs)
    if file.suffix == weights.SUFFIX:
        return _sampler(*weights.read(file, trust), device)
    return from_checkpoint(load_checkpoint(file), device, trust)


def from_checkpoint(checkpoint: Checkpoint, device: str = "auto", trust: Iterable[str] | None = ()) -> Sampler:
    """The sampler of a checkpoint that is read already: the model with its averaged weights."""
    return _sampler(rebuild_model(checkpoint, trust), checkpoint, device)


def _sampler(model: GenerativeModel, checkpoint: Checkpoint, device: str) -> Sampler:
    data: dict[str, Any] = checkpoint["data"]
    conditional = checkpoint["config"]["model"].get("conditional", False)
    return Sampler(
        model,
        data["image_shape"],
        data["num_frames"],
        data["classes"] if conditional else (),
        pick_device(device),
    )


def checkpoint_file(run: str | Path, checkpoint: str = "best", outputs: str | Path = "outputs") -> Path:
    """The checkpoint file that a run stands for; a run that has no best one yet gives its last."""
    found = find_run(str(run), outputs)
    if not isinstance(found, RunFolder):
        return found
    if checkpoint not in ("best", "last"):
        raise UserError("checkpoint", checkpoint, "best or last")
    wanted = found.best if checkpoint == "best" else found.last
    if wanted.is_file():
        return wanted
    if found.last.is_file():
        log.info("%s has no best checkpoint yet: taking the last", found.path)
        return found.last
    raise UserError("run", found.path, "a run with a checkpoint", hint=f"there is none in {found.checkpoints}")


def pick_device(device: str) -> torch.device:
    """`auto` is CUDA where there is one."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            "device", device, "auto, cpu, cuda or cuda:N, and there", hint=f"torch says: {reason}"
        ) from error
    return torch.device(device)
