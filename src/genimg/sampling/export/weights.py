"""format=safetensors: the weights, and in the file's metadata the configuration that a model is rebuilt from."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import torch

from genimg.checkpoints.archive import check_content
from genimg.checkpoints.read import check_latents, check_weights, limit_tensors
from genimg.checkpoints.schema import Checkpoint, check_fields
from genimg.common.build import Builder
from genimg.common.errors import UserError
from genimg.models.base import GenerativeModel
from genimg.sampling.export.generator import ExportableGenerator, keep_generating

SUFFIX = ".safetensors"
_METADATA = "genimg"


def write(alone: ExportableGenerator, checkpoint: Checkpoint, path: Path) -> None:
    """The file; `checkpoint` is what `alone` was made of."""
    from safetensors.torch import save

    told = {name: checkpoint[name] for name in ("data", "images_seen", "clock", "versions")}
    about = {**told, "config": {"model": checkpoint["config"]["model"], "data": {}}}
    state = {name: tensor.contiguous() for name, tensor in alone.model.state_dict().items()}
    path.write_bytes(save(state, metadata={_METADATA: json.dumps(about)}))


def read(path: Path, trust: Iterable[str] | None = ()) -> tuple[GenerativeModel, Checkpoint]:
    """The generating half of a model, on the CPU, and what a checkpoint would tell of it. May be a stranger's.

    Raises:
        UserError: if it is no file of `write`'s, names a class that is not allowed, or has not the weights it asks for.
    """
    try:
        from safetensors import safe_open
    except ImportError as error:
        raise needs_extra("safetensors") from error
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads((file.metadata() or {}).get(_METADATA, "null"))
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        content = {**about, "model": state, "ema": {}} if isinstance(about, dict) else {}
        check_content(content, path.stat().st_size)
        check_fields(content)
    except Exception as error:  # its reader has an error of its own, which is no ValueError
        raise UserError("run", path, "a file written by genimg export", hint=str(error).splitlines()[0]) from error
    # the half that trains has no weights in the file, and never takes memory
    with torch.device("meta"), limit_tensors(10 * len(state) + 100):
        model: GenerativeModel = Builder(trust).build(content["config"]["model"])
    keep_generating(model)
    check_weights(model, state, "run")
    check_latents(content["config"]["model"], model, state, "run")
    model.load_state_dict(state, assign=True)
    return model.eval(), content


def needs_extra(package: str) -> UserError:
    return UserError("format", None, f"an installed {package}", hint='pip install "genimg-train[export]"')
