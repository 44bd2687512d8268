"""The file formats of an export: how each is written, read back, and used without this project."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genimg.checkpoints.read import Checkpoint
from genimg.common.errors import UserError, first_line
from genimg.sampling.export import weights
from genimg.sampling.export.generator import ExportableGenerator

Generate = Callable[..., Tensor]  # the function in a file, with the inputs and the output of the generator

TOLERANCE = 1e-3  # largest accepted difference of images in [-1, 1]: an eighth of a level of 8 bits
_TRACED = 2  # images that a model is traced with; another number than in the checks
_CHECKED = ((1, 1), (5, 2))  # (images, seed) of the checks


@dataclass(frozen=True)
class Format:
    """A file format.

    file: name of the exported file.
    write: writes the generator, made from the checkpoint, to a path.
    read: reads the file as another program would. The strings are the trusted packages.
    example: Python code that draws images with the file alone; the card fills in the names in braces.
    packages: packages that the format needs besides torch.
    numpy: whether the inputs in `example` are numpy arrays instead of tensors.
    """

    file: str
    write: Callable[[ExportableGenerator, Checkpoint, Path], object]
    read: Callable[[Path, ExportableGenerator, Sequence[str]], Generate]
    example: str
    packages: tuple[str, ...] = ()
    numpy: bool = False


def check_installed(format: str) -> None:
    """Raises UserError if a package that the format needs is missing."""
    for package in FORMATS[format].packages:
        if find_spec(package) is None:
            raise weights.needs_extra(package)


def write(format: str, generator: ExportableGenerator, checkpoint: Checkpoint, folder: Path) -> Path:
    """Writes the file of a format into `folder` and returns its path."""
    path = folder / FORMATS[format].file
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # TorchScript's deprecation, and the exporter's remarks on its own code
        FORMATS[format].write(generator, checkpoint, path)
    return path


def read(format: str, path: Path, generator: ExportableGenerator, trust: Sequence[str]) -> Generate:
    """Reads an exported file as another program would."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return FORMATS[format].read(path, generator, trust)


@torch.no_grad()
def difference(generator: ExportableGenerator, generate: Generate) -> float:
    """Returns the largest absolute difference of pixels in [-1, 1], for seeded inputs in batches of two sizes."""
    inputs = [generator.example(count, seed) for count, seed in _CHECKED]
    return max(float((generate(*one) - generator(*one)).abs().max()) for one in inputs)


def _read_safetensors(path: Path, generator: ExportableGenerator, trust: Sequence[str]) -> Generate:
    model: Any = weights.read(path, trust)[0]
    return partial(generator.call, model)


def _write_torchscript(generator: ExportableGenerator, checkpoint: Checkpoint, path: Path) -> None:
    def function(*inputs: Tensor) -> Tensor:  # a LightningModule cannot be part of a TorchScript module
        return generator(*inputs)

    traced: Any = torch.jit.trace(function, generator.example(_TRACED, 0), check_trace=False)
    torch.jit.save(traced, str(path))


def _write_pt2(generator: ExportableGenerator, checkpoint: Checkpoint, path: Path) -> None:
    inputs = generator.example(_TRACED, 0)
    torch.export.save(torch.export.export(generator, inputs, dynamic_shapes=_any_batch(generator)), path)


def _write_onnx(generator: ExportableGenerator, checkpoint: Checkpoint, path: Path) -> None:
    """Raises UserError if torch's exporter cannot translate the model."""
    try:
        torch.onnx.export(
            generator,
            generator.example(_TRACED, 0),
            path,
            input_names=[one.name for one in generator.inputs],
            output_names=["images"],
            dynamic_shapes=_any_batch(generator),
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    except (RuntimeError, KeyError) as error:  # the exporter's own errors, and where it fails internally
        reason = f"torch {torch.__version__} cannot: {first_line(error.__cause__ or error)}"
        expected = f"a model that torch's ONNX exporter translates; {reason}"
        raise UserError("format", "onnx", expected, hint="format=torchscript") from error


def _read_onnx(path: Path, generator: ExportableGenerator, trust: Sequence[str]) -> Generate:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def generate(*inputs: Tensor) -> Tensor:
        arrays = {one.name: value.numpy() for one, value in zip(generator.inputs, inputs, strict=True)}
        return torch.from_numpy(session.run(None, arrays)[0])

    return generate


def _any_batch(generator: ExportableGenerator) -> dict[str, Any]:
    batch = torch.export.Dim("batch", min=1, max=2**16)
    return {"inputs": tuple({0: batch} for _ in generator.inputs)}


#: The formats by name; the only list of them.
FORMATS: dict[str, Format] = {
    "safetensors": Format(
        f"model{weights.SUFFIX}",
        weights.write,
        _read_safetensors,
        """from genimg import load  # pip install "genimg-train[export]"

images = load("{file}"{trusted}).sample({batch}, seed=0)""",
        packages=("safetensors",),
    ),
    "torchscript": Format(
        "model.ts",
        _write_torchscript,
        lambda path, generator, trust: torch.jit.load(str(path)),
        """import torch

model = torch.jit.load("{file}")
images = model({arguments})""",
    ),
    "pt2": Format(
        "model.pt2",
        _write_pt2,
        lambda path, generator, trust: torch.export.load(path).module(),
        """import torch

model = torch.export.load("{file}").module()
images = model({arguments})""",
    ),
    "onnx": Format(
        "model.onnx",
        _write_onnx,
        _read_onnx,
        """import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession("{file}")
images = session.run(None, {{{feeds}}})[0]""",
        packages=("onnx", "onnxscript", "onnxruntime"),
        numpy=True,
    ),
}
