"""From a run, a checkpoint or an export to its sampler: `load("RUN").sample(16)`."""

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from genimg.checkpoints.read import Checkpoint, load_checkpoint, rebuild_model
from genimg.common.errors import UserError, first_line
from genimg.common.run_folder import RunFolder, find_run, path_of, run_at
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
    """Loads a trained model for sampling, with its EMA weights. Loading is safe: no code from the file is run.

    Args:
        run: a run folder, a checkpoint file, an exported .safetensors file, or "last", the newest run in `outputs`.
        checkpoint: "best" or "last", the checkpoint of a run folder; a run without a best checkpoint has its last one.
        device: "auto" (CUDA if available), "cpu", "cuda" or "cuda:N".
        trust: packages besides this one whose classes the file may name; None allows all packages.
        outputs: folder of the runs.

    Raises:
        UserError: if there is no such run or device, or the file is damaged or names a class that is not allowed.

    Example:
        >>> import genimg
        >>> images = genimg.load("last").sample(16, seed=0)  # float32 (16, C, H, W), values in [-1, 1]
        >>> len(images)
        16
    """
    file = checkpoint_file(path_of(find_run(str(run), outputs)), checkpoint)
    if file.suffix == weights.SUFFIX:
        return _sampler(*weights.read(file, trust), device)
    return from_checkpoint(load_checkpoint(file), device, trust)


def from_checkpoint(checkpoint: Checkpoint, device: str = "auto", trust: Iterable[str] | None = ()) -> Sampler:
    """Returns the sampler of a loaded checkpoint, with its EMA weights. Arguments and errors as for `load`."""
    return _sampler(rebuild_model(checkpoint, trust), checkpoint, device)


def _sampler(model: GenerativeModel, checkpoint: Checkpoint, device: str) -> Sampler:
    data: dict[str, Any] = checkpoint["data"]
    conditional = checkpoint["config"]["model"].get("conditional", False)
    classes = data["classes"] if conditional else ()
    actions = data["actions"] if model.num_actions else ()
    return Sampler(model, data["image_shape"], data["num_frames"], classes, pick_device(device), actions)


def checkpoint_file(run: str | Path, checkpoint: str = "best", key: str = "run") -> Path:
    """Returns the checkpoint file at the path of a run; a run without a best checkpoint has its last one.

    Args:
        key: the setting that named the run, for messages.

    Raises:
        UserError: if the run has no checkpoint.
    """
    found = run_at(run)
    if not isinstance(found, RunFolder):
        return found
    if checkpoint not in ("best", "last"):
        raise UserError("checkpoint", checkpoint, "best or last")
    wanted = found.best if checkpoint == "best" else found.last
    if wanted.is_file():
        return wanted
    if found.last.is_file():
        log.info("%s has no best checkpoint yet; using the last", found.path)
        return found.last
    raise UserError(key, found.path, "a run with a checkpoint", hint=f"there is none in {found.checkpoints}")


def pick_device(device: str) -> torch.device:
    """Returns the device of a name; `auto` is CUDA if available. Raises UserError if there is no such device."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        expected = "an available device: auto, cpu, cuda or cuda:N"
        raise UserError("device", device, expected, hint=f"torch: {first_line(error)}") from error
    return torch.device(device)
