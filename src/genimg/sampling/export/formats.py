"""The files that other programs run: written, read back, and held against the model they came from."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genimg.checkpoints.read import Checkpoint
from genimg.common.errors import UserError, first_line
from genimg.sampling.export import weights
from genimg.sampling.export.generator import ExportableGenerator

Run = Callable[..., Tensor]  # what a file that was read back does with its inputs

FILES = {"safetensors": f"model{weights.SUFFIX}", "torchscript": "model.ts", "pt2": "model.pt2", "onnx": "model.onnx"}
NEEDS = {"safetensors": ("safetensors",), "onnx": ("onnx", "onnxscript", "onnxruntime")}

EXAMPLE = 2  # images that a format is traced with; another number than the checks'
CHECKED = ((1, 1), (5, 2))  # (images, seed) of the checks
TOLERANCE = 1e-3  # of images in [-1, 1]: an eighth of a level of 8 bits


def require(format: str) -> None:
    """UserError where a package that a format needs is missing."""
    for package in NEEDS.get(format, ()):
        if find_spec(package) is None:
            raise weights.needs_extra(package)


def write(format: str, alone: ExportableGenerator, checkpoint: Checkpoint, folder: Path) -> Path:
    """The file of a format in `folder`."""
    path = folder / FILES[format]
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # torch's plans for TorchScript, and the exporter's remarks on its own
        if format == "safetensors":
            weights.write(alone, checkpoint, path)
        elif format == "torchscript":
            torch.jit.save(_traced(alone), str(path))
        elif format == "pt2":
            program = torch.export.export(alone, alone.example(EXAMPLE, 0), dynamic_shapes=_any_batch(alone))
            torch.export.save(program, path)
        else:
            _write_onnx(alone, path)
    return path


def _write_onnx(alone: ExportableGenerator, path: Path) -> None:
    """UserError where this torch's exporter fails."""
    try:
        torch.onnx.export(
            alone,
            alone.example(EXAMPLE, 0),
            path,
            input_names=[one.name for one in alone.inputs],
            output_names=["images"],
            dynamic_shapes=_any_batch(alone),
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    except (RuntimeError, KeyError) as error:  # what the exporter raises of its own, and where it stumbles
        why = f"torch {torch.__version__} cannot: {first_line(error.__cause__ or error)}"
        expected = f"a model that torch's exporter translates; {why}"
        raise UserError("format", "onnx", expected, hint="format=torchscript") from error


def _traced(alone: ExportableGenerator) -> Any:
    def function(*inputs: Tensor) -> Tensor:  # no module: Lightning's cannot be a part of TorchScript
        return alone(*inputs)

    return torch.jit.trace(function, alone.example(EXAMPLE, 0), check_trace=False)


def _any_batch(alone: ExportableGenerator) -> dict[str, Any]:
    batch = torch.export.Dim("batch", min=1, max=2**16)
    return {"inputs": tuple({0: batch} for _ in alone.inputs)}


def read(format: str, path: Path, alone: ExportableGenerator, trust: Sequence[str]) -> Run:
    """The file as a program that has nothing but it would run it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if format == "safetensors":
            model: Any = weights.read(path, trust)[0]
            return model.animate if alone.makes_sequences else model.decode
        if format == "torchscript":
            return torch.jit.load(str(path))
        if format == "pt2":
            return torch.export.load(path).module()
        import onnxruntime

        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def run(*inputs: Tensor) -> Tensor:
        fed = {one.name: value.numpy() for one, value in zip(alone.inputs, inputs, strict=True)}
        return torch.from_numpy(session.run(None, fed)[0])

    return run


@torch.no_grad()
def difference(alone: ExportableGenerator, run: Run) -> float:
    """The largest absolute difference of a pixel in [-1, 1], over seeded latents in batches of two sizes."""
    inputs = [alone.example(count, seed) for count, seed in CHECKED]
    return max(float((run(*one) - alone(*one)).abs().max()) for one in inputs)
