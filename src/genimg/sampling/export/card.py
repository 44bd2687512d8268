"""README.md of an export: what the file is, how to use it, what it was made from, how good it is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from genimg.checkpoints.read import Checkpoint
from genimg.common.html import write_page
from genimg.sampling.export.generator import ExportableGenerator, Input

_BATCH = 16  # images of the snippet
_SNIPPETS = {
    "safetensors": """from genimg import load  # pip install "genimg-train[export]"

images = load("{file}"{trusted}).sample({batch}, seed=0)""",
    "torchscript": """import torch

model = torch.jit.load("{file}")
images = model({arguments})""",
    "pt2": """import torch

model = torch.export.load("{file}").module()
images = model({arguments})""",
    "onnx": """import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession("{file}")
images = session.run(None, {{{feeds}}})[0]""",
}


def write(
    folder: Path,
    alone: ExportableGenerator,
    checkpoint: Checkpoint,
    format: str,
    file: str,
    difference: float,
    evaluation: dict[str, Any],
    trust: Sequence[str],
) -> Path:
    """The card in `folder`. difference: of the file's pixels from the model's. evaluation: a run's, or empty.

    trust: packages besides this one whose classes the model is made of.
    """
    frames = [alone.num_frames] if alone.makes_sequences else []
    return write_page(
        folder / "README.md",
        "genimg.sampling.export",
        "card.md",
        {"plain": plain, "number": lambda value: "" if value is None else f"{value:.4g}"},
        alone=alone,
        config=checkpoint["config"]["model"],
        data=checkpoint["data"],
        versions=checkpoint["versions"],
        images_seen=checkpoint["images_seen"],
        format=format,
        file=file,
        gives=["B", *frames, *alone.image_shape],
        snippet=snippet(alone, format, file, trust),
        difference=difference,
        figures=[one for one in evaluation.get("figures", []) if one["group"] != "cost"],
        measured_at=evaluation["checkpoint"]["images_seen"] if evaluation else 0,
    )


def snippet(alone: ExportableGenerator, format: str, file: str, trust: Sequence[str]) -> str:
    """Python that makes images with the file alone."""
    arrays = {one.name: _array(one, len(alone.classes), numpy=format == "onnx") for one in alone.inputs}
    feeds = ", ".join(f'"{name}": {array}' for name, array in arrays.items())
    trusted = f", trust={list(trust)!r}" if trust else ""
    words = {"file": file, "batch": _BATCH, "arguments": ", ".join(arrays.values()), "feeds": feeds, "trusted": trusted}
    return _SNIPPETS[format].format(**words)


def _array(one: Input, classes: int, numpy: bool) -> str:
    shape = ", ".join(map(str, (_BATCH, *one.shape)))
    if one.dtype == "int64":
        return f"{'np' if numpy else 'torch'}.arange({_BATCH}) % {classes}"
    if one.name == "start":
        return f"np.zeros(({shape}), np.float32)" if numpy else f"torch.zeros({shape})"
    return f"np.random.randn({shape}).astype(np.float32)" if numpy else f"torch.randn({shape})"


def plain(text: object) -> str:
    """One line without the signs of Markdown: names may be a stranger's."""
    return "".join(sign for sign in str(text)[:200] if sign.isprintable() and sign not in "`|[]*#\\")
