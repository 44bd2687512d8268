"""format=safetensors: the weights, and in the metadata of the file the configuration that rebuilds the model."""

import json
from collections.abc import Iterable
from pathlib import Path

import torch

from genimg.checkpoints.archive import check_content
from genimg.checkpoints.read import check_latents, check_produces, check_weights, limit_tensors
from genimg.checkpoints.schema import FIELDS, Checkpoint, check_fields
from genimg.common.build import Builder
from genimg.common.errors import UserError, first_line
from genimg.common.reading import parse_json
from genimg.models.base import GenerativeModel
from genimg.sampling.export.generator import ExportableGenerator, remove_training_parts

SUFFIX = ".safetensors"
_METADATA = "genimg"


def write(generator: ExportableGenerator, checkpoint: Checkpoint, path: Path) -> None:
    """Writes the weights of `generator`, and the fields of its checkpoint that a sampler needs."""
    from safetensors.torch import save

    fields = {name: checkpoint[name] for name, field in FIELDS.items() if field.to_sample}
    metadata = {**fields, "config": {"model": checkpoint["config"]["model"], "data": {}}}
    state = {name: tensor.contiguous() for name, tensor in generator.model.state_dict().items()}
    path.write_bytes(save(state, metadata={_METADATA: json.dumps(metadata)}))


def read(path: Path, trust: Iterable[str] | None = ()) -> tuple[GenerativeModel, Checkpoint]:
    """Reads an export, which may be untrusted: the generator on the CPU, and the fields that `write` kept.

    Raises:
        UserError: if `write` did not write the file, it names a class that is not allowed, or its weights do not match
            its configuration.
    """
    try:
        from safetensors import safe_open
    except ImportError as error:
        raise needs_extra("safetensors") from error
    try:
        with safe_open(path, framework="pt") as file:
            fields = parse_json((file.metadata() or {}).get(_METADATA, "null"))
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        content = {**fields, "model": state, "ema": {}} if isinstance(fields, dict) else {}
        check_content(content, path.stat().st_size)
        check_fields(content)
    except Exception as error:  # safetensors raises its own error
        raise UserError("run", path, "a file written by genimg export", hint=first_line(error)) from error
    # the file has no weights for parts that only training needs, so they must not take memory
    with torch.device("meta"), limit_tensors(10 * len(state) + 100):
        model: GenerativeModel = Builder(trust).build(content["config"]["model"])
    check_produces(model, content)
    check_latents(content["config"]["model"], state, "run")
    remove_training_parts(model)
    check_weights(model, state, "run")
    for name, weight in model.state_dict().items():  # `assign` would replace the type
        if state[name].dtype != weight.dtype:
            raise UserError("run", f"{name} of type {state[name].dtype}", f"{weight.dtype}, as in its configuration")
    model.load_state_dict(state, assign=True)
    return model.eval(), content


def needs_extra(package: str) -> UserError:
    return UserError("format", None, f"the package {package}", hint='pip install "genimg-train[export]"')
