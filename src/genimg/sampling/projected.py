"""Latents of given images: what a projection finds, and the file that keeps them."""

import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor

from genimg.common.errors import UserError, first_line
from genimg.common.files import atomic_write
from genimg.models.base import Decodes, HasStyles
from genimg.sampling.settings import LatentSettings, Strengths
from genimg.sampling.source import Source, chunks, to_cpu
from genimg.sampling.trained import TrainedModel

#: Spaces of latents, the names that `project_space` takes: z ~ N(0, I); its style w; w+, a style for each layer.
SPACES = ("z", "w", "w+")

_LARGEST = 2**30  # bytes of the arrays of a file, which may be compressed: 100,000 images need less


@dataclass(frozen=True)
class Latents:
    """Latents of N images, from which their model draws them again.

    Attributes:
        values: float32 on the CPU: z (N, latent_dim), w (N, W), or w+ (N, num_styles, W).
        space: a name of `SPACES`.
        labels: classes, int64 (N,), or weights of the K classes, float32 (N, K); None for an unconditional model.
    """

    values: Tensor
    space: str
    labels: Tensor | None = None

    def __len__(self) -> int:
        """N, the number of images."""
        return len(self.values)

    def save(self, path: Path) -> None:
        """Writes an .npz of plain arrays: `z`, or `w` with 2 axes or, for w+, 3; and `labels` if there are classes."""
        arrays = {self.space[0]: self.values.numpy()}
        if self.labels is not None:
            arrays["labels"] = self.labels.numpy()
        with atomic_write(path, sync=False) as file:
            np.savez(file, allow_pickle=False, **arrays)


def read_latents(path: str | Path, trained: TrainedModel) -> Latents:
    """Reads the file of `Latents.save`. No code in it can run.

    Raises:
        UserError: if it is no such file, or its latents are not those of the model.
    """
    expected = "an .npz file with the latents of this model, which project=IMAGE writes"
    try:
        with Path(path).expanduser().open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            if sum(one.file_size for one in file.zip.infolist()) > _LARGEST:
                raise UserError("latents", path, expected, hint="its arrays are too large")
            arrays = {name: torch.from_numpy(file[name]) for name in ("z", "w", "labels") if name in file}
    except OSError as error:
        raise UserError("latents", path, expected, hint=first_line(error)) from error
    # numpy's message advises to load pickles; AttributeError: a single array, which is no archive
    except (ValueError, TypeError, AttributeError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError("latents", path, expected, hint="it is damaged, or no archive of plain arrays") from error
    if ("z" in arrays) == ("w" in arrays):
        raise UserError("latents", path, expected, hint="it has no array z or w, or both")
    name = "z" if "z" in arrays else "w"
    values, labels = arrays[name], arrays.get("labels")
    shapes = _shapes(trained, name)
    if not len(values) or tuple(values.shape[1:]) not in shapes or values.dtype != torch.float32:
        wanted = " or ".join(f"(N, {', '.join(map(str, shape))})" for shape in shapes)
        raise UserError("latents", path, expected, hint=f"{name} is {values.dtype} {tuple(values.shape)}, not {wanted}")
    if not values.isfinite().all():
        raise UserError("latents", path, expected, hint=f"{name} has values that are not finite")
    _check_labels(path, labels, len(values), len(trained.classes), expected)
    return Latents(values, "w+" if values.dim() == 3 else name, labels)


def _shapes(trained: TrainedModel, name: str) -> list[tuple[int, ...]]:
    """The shapes of z, or of w and w+, of one image."""
    if name == "z":
        return [(trained.decoder("latents", name).latent_dim,)]
    model = trained.styled("latents", name, "give latents of project_space=z")
    length = model.style_weights().shape[1]
    return [(length,), (model.num_styles, length)]


def _check_labels(path: object, labels: Tensor | None, count: int, classes: int, expected: str) -> None:
    """Raises UserError unless there is a label, or weights of labels, for each image of a conditional model."""
    if not classes and labels is None:
        return
    fits = labels is not None and classes > 0
    if fits and labels is not None and labels.dtype == torch.int64:
        fits = labels.shape == (count,) and bool(((labels >= 0) & (labels < classes)).all())
    elif fits and labels is not None:
        fits = labels.dtype == torch.float32 and labels.shape == (count, classes) and bool(labels.isfinite().all())
    if not fits:
        raise UserError("latents", path, expected, hint=f"its labels do not fit the {classes} classes of the model")


def decode(
    trained: TrainedModel, values: Tensor, space: str, labels: Tensor | None, shift: Tensor | None = None
) -> Tensor:
    """The images (N, C, H, W) in [-1, 1] of latents, on the model's device, with a gradient.

    shift: added to every style, (W,); for a model with a mapping network.
    """
    if space == "z" and shift is None:
        return cast(Decodes, trained.model).decode(values, labels)
    model = cast(HasStyles, trained.model)
    w = model.style(values, labels) if space == "z" else values
    return model.draw(w if shift is None else w + shift)


def stream_latents(trained: TrainedModel, latents: Latents, directions: Strengths | None) -> Iterator[Tensor]:
    """Yields the images of latents, at most `CHUNK` at a time, changed along directions."""
    Source(trained, LatentSettings()).check_memory()
    return _stream(trained, latents, trained.shift(directions))


@torch.no_grad()
def _stream(trained: TrainedModel, latents: Latents, shift: Tensor | None) -> Iterator[Tensor]:
    for part in chunks(len(latents)):
        labels = None if latents.labels is None else latents.labels[part].to(trained.device)
        yield to_cpu(decode(trained, latents.values[part].to(trained.device), latents.space, labels, shift))
