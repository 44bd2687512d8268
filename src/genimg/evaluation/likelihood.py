"""The likelihood of held-out images under a model that has one."""

import math
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from genimg.data.order import evenly_spaced_indices
from genimg.evaluation.figure import Figure
from genimg.evaluation.subject import Subject
from genimg.models.base import DrawsPixels, HasLikelihood
from genimg.models.networks.efficientnet import as_rgb
from genimg.sampling.images.files import save_png
from genimg.sampling.images.sheets import side_by_side, to_float

_MOST = 1000  # images
_BATCH = 100
_SHOWN = 24  # images with a map of their bits
_PIXELS = 128  # per block of the histogram: 60,000 images are 60 MB as indices
_VALUES = 256


def no_likelihood(model: object) -> str | None:
    """The reason why the model has no likelihood; None if it has one."""
    if not isinstance(model, HasLikelihood):
        return f"{type(model).__name__} gives no probability of an image"
    return model.no_likelihood()


@torch.no_grad()
def likelihood_figures(subject: Subject, samples: int) -> list[Figure]:
    """Nats per image and bits per dimension of at most 1,000 test images, exact or by a bound.

    Args:
        samples: K, the number of draws per image of the importance-weighted bound.
    """
    test, labels, device = subject.images.test, subject.images.test_labels, subject.device
    model, conditional = cast(HasLikelihood, subject.sampler.model), bool(subject.sampler.classes)
    chosen = evenly_spaced_indices(len(test), min(_MOST, len(test)))
    generator = torch.Generator(device).manual_seed(subject.drawing["seed"])
    batches = []
    for part in chosen.split(_BATCH):
        classes = labels[part].to(device) if conditional and labels is not None else None
        images = to_float(test[part].to(device))
        batches.append(model.log_likelihood(images, classes, samples=samples, generator=generator).double())
    nats = torch.cat(batches)
    floor = float(independent_log_likelihood(subject.images.train, test[chosen]).mean())
    mean, n = float(nats.mean()), len(nats)
    bits, floor_bits = (-value / (test[0].numel() * math.log(2)) for value in (mean, floor))
    error = float(nats.std() / math.sqrt(n)) if n > 1 else None
    name = "log p(x | class)" if conditional else "log p(x)"
    bound = f"bound, K = {samples}" if model.importance_sampled else "bound"
    kinds = ("exact", "exact") if model.exact_likelihood else (f"lower {bound}", f"upper {bound}")
    note = "floor: independent pixels, each with its histogram over training images"
    note = f"under the prior N(0, I); {note}" if model.importance_sampled else note
    raw = "uncompressed pixels have 8"
    return [
        Figure("likelihood", name, mean, kinds[0], n, "higher", floor, error, "nats per image", note),
        Figure("likelihood", "bits_per_dim", bits, kinds[1], n, "lower", floor_bits, None, "bits", raw),
    ]


@torch.no_grad()
def write_bits(subject: Subject, path: Path) -> None:
    """Writes test images, each beside a map of the bits of its pixels: black = 0, white = 8 for each channel."""
    test, labels, device = subject.images.test, subject.images.test_labels, subject.device
    chosen = evenly_spaced_indices(len(test), min(_SHOWN, len(test)))
    classes = labels[chosen].to(device) if subject.sampler.classes and labels is not None else None
    shown = test[chosen]
    bits = cast(DrawsPixels, subject.sampler.model).bits(to_float(shown.to(device)), classes).cpu()
    save_png(side_by_side(as_rgb(shown), heat(bits / (8 * test.shape[1]))), path)


def heat(values: Tensor) -> Tensor:
    """Values (N, H, W) from 0 to 1 as colours from black over red and yellow to white, uint8 (N, 3, H, W)."""
    bounds = torch.arange(3).view(3, 1, 1)
    return (255 * (3 * values.float().unsqueeze(1) - bounds).clamp(0, 1)).round().to(torch.uint8)


def independent_log_likelihood(train: Tensor, test: Tensor) -> Tensor:
    """log p(x) in nats, float64 (M,), under a model of independent pixels.

    The distribution of a pixel is its histogram over the training images, with one count spread evenly over the 256
    values, so that no value has probability 0.

    Args:
        train: uint8 (N, ...).
        test: uint8 (M, ...), of the same shape.
    """
    train_pixels, test_pixels = train.flatten(1), test.flatten(1)
    nats = torch.zeros(len(test), dtype=torch.float64)
    for start in range(0, train_pixels.shape[1], _PIXELS):
        known, queried = (pixels[:, start : start + _PIXELS].long() for pixels in (train_pixels, test_pixels))
        offsets = torch.arange(known.shape[1]) * _VALUES
        counts = torch.bincount((known + offsets).flatten(), minlength=known.shape[1] * _VALUES)
        log_p = ((counts.double() + 1 / _VALUES) / (len(train) + 1)).log()
        nats += log_p[queried + offsets].sum(1)
    return nats
