"""The model card, README.md of an export: the file, its use, its training data, settings and metrics."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from genimg.checkpoints.read import Checkpoint
from genimg.common.html import write_page
from genimg.sampling.export.formats import FORMATS
from genimg.sampling.export.generator import ExportableGenerator, Input

_BATCH = 16  # images drawn by the code example


def write(
    folder: Path,
    generator: ExportableGenerator,
    checkpoint: Checkpoint,
    format: str,
    difference: float,
    evaluation: dict[str, Any],
    trust: Sequence[str],
) -> Path:
    """Writes the card into `folder` and returns its path.

    Args:
        difference: largest difference between the pixels of the file's images and of the model's.
        evaluation: content of the run's evaluation.json, or empty.
        trust: packages besides this one whose classes the model consists of.
    """
    frames = [generator.num_frames] if generator.makes_sequences else []
    return write_page(
        folder / "README.md",
        "genimg.sampling.export",
        "card.md",
        {"plain": plain, "number": lambda value: "" if value is None else f"{value:.4g}"},
        generator=generator,
        config=checkpoint["config"]["model"],
        data=checkpoint["data"],
        versions=checkpoint["versions"],
        images_seen=checkpoint["images_seen"],
        format=format,
        file=FORMATS[format].file,
        output_shape=["B", *frames, *generator.image_shape],
        example=example(generator, format, trust),
        difference=difference,
        figures=[one for one in evaluation.get("figures", []) if one["group"] != "cost"],
        measured_at=evaluation["checkpoint"]["images_seen"] if evaluation else 0,
    )


def example(generator: ExportableGenerator, format: str, trust: Sequence[str]) -> str:
    """Returns Python code that draws images with the exported file alone."""
    chosen = FORMATS[format]
    arrays = {one.name: _array(one, len(generator.classes), chosen.numpy) for one in generator.inputs}
    return chosen.example.format(
        file=chosen.file,
        batch=_BATCH,
        arguments=", ".join(arrays.values()),
        feeds=", ".join(f'"{name}": {array}' for name, array in arrays.items()),
        trusted=f", trust={list(trust)!r}" if trust else "",
    )


def _array(one: Input, classes: int, numpy: bool) -> str:
    shape = ", ".join(map(str, (_BATCH, *one.shape)))
    if one.name == "actions":
        return f"np.zeros(({shape}), np.int64)" if numpy else f"torch.zeros({shape}, dtype=torch.int64)"
    if one.dtype == "int64":
        return f"{'np' if numpy else 'torch'}.arange({_BATCH}) % {classes}"
    if one.name == "start":
        return f"np.zeros(({shape}), np.float32)" if numpy else f"torch.zeros({shape})"
    return f"np.random.randn({shape}).astype(np.float32)" if numpy else f"torch.randn({shape})"


def plain(text: object) -> str:
    """Returns `text` on one line without Markdown and without links: names may come from an untrusted file."""
    shown = "".join(sign for sign in str(text)[:200] if sign.isprintable() and sign not in "`|[]*#\\")
    return re.sub(r":(?=//)|www\.|@", r"\g<0> ", shown, flags=re.IGNORECASE)  # GitHub makes links of bare addresses
