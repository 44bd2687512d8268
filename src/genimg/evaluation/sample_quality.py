"""Fidelity and diversity of samples by the features of an extractor, and the classes among them.

The floor of each metric is its value for as many training images in place of the samples. Neither the extractor was
trained on them, nor are they among the images that they are compared with.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from genimg.evaluation.features.extractor import Extractor
from genimg.evaluation.figure import Better, Figure
from genimg.evaluation.metrics.frechet import frechet_distance
from genimg.evaluation.metrics.kid import kernel_distance
from genimg.evaluation.metrics.precision_recall import copying, nearest, prdc

NEIGHBOURS = 5  # k of precision, recall, density and coverage
REFERENCE_VERSION = 2  # increase it if `reference` changes: cached references are then recomputed
_SEED = 0  # of the subsets of the kernel distance
_FLOOR = "floor: training images that the extractor has not seen"
_INCEPTION_NAMES = {"frechet distance": "FID", "kernel distance": "KID"}


@dataclass(frozen=True)
class Reference:
    """The part of the metrics that depends only on the real images and the extractor.

    Attributes:
        test, floor, train: features, float32 (N, D). `floor` holds training images, as many as `test`, which are
            compared with `test` as samples are, and on which the extractor was not trained. `train` holds the other
            training images, for the copying metric.
        floors: {metric: its value for `floor`}.
        to_train: squared distances of `test` to the nearest of `train`, float64 (N,).
    """

    test: Tensor
    floor: Tensor
    train: Tensor
    floors: dict[str, float]
    to_train: Tensor


def reference(test: Tensor, floor: Tensor, train: Tensor) -> Reference:
    """Computes the reference. It takes as long as the metrics of the samples, and is the same for all runs on a data
    set."""
    to_train = nearest(test, train)[0]
    floors = {name: value for (name, _), (value, _) in _set_metrics(test, floor).items()}
    return Reference(test, floor, train, floors | {"copying": copying(nearest(floor, train)[0], to_train)}, to_train)


def sample_quality(real: Reference, fake: Tensor, extractor: Extractor, labels: Tensor | None) -> list[Figure]:
    """The figures of a set of samples.

    Args:
        fake: features of the samples, float32 (N, D), as many as test images.
        labels: int64 (N,), the requested classes; None for an unconditional model.
    """
    figures = []
    for (name, better), (value, uncertainty) in _set_metrics(real.test, fake).items():
        shown = _INCEPTION_NAMES.get(name, name) if extractor.name == "inception" else name
        floor = real.floors[name]
        figures.append(
            Figure("sample quality", shown, value, "proxy", len(fake), better, floor, uncertainty, note=_FLOOR)
        )
    value = copying(nearest(fake, real.train)[0], real.to_train)
    note = "share nearer to the training set than a test image; above the floor: memorised"
    figures.append(
        Figure("sample quality", "copying", value, "proxy", len(fake), floor=real.floors["copying"], note=note)
    )
    return figures + (_class_figures(real, fake, extractor, extractor.head, labels) if extractor.head else [])


def _set_metrics(real: Tensor, fake: Tensor) -> dict[tuple[str, Better], tuple[float, float | None]]:
    """{(name, direction of improvement): (value, uncertainty)}."""
    kernel = kernel_distance(real, fake, generator=torch.Generator().manual_seed(_SEED))
    neighbours = prdc(real, fake, NEIGHBOURS)
    return {
        ("frechet distance", "lower"): (frechet_distance(real, fake), None),
        ("kernel distance", "lower"): (kernel.mean, kernel.std),
        ("precision", "higher"): (neighbours.precision, None),
        ("recall", "higher"): (neighbours.recall, None),
        ("density", "higher"): (neighbours.density, None),
        ("coverage", "higher"): (neighbours.coverage, None),
    }


@torch.no_grad()
def _class_figures(
    real: Reference, fake: Tensor, extractor: Extractor, head: torch.nn.Module, labels: Tensor | None
) -> list[Figure]:
    device = next(head.parameters()).device
    logits = [head(features.to(device)).cpu() for features in (fake, real.test, real.floor)]
    fake, test, floor = (part.argmax(1) for part in logits)
    classes, n = logits[0].shape[1], len(fake)
    coverage, coverage_floor = (class_coverage(part, test, classes) for part in (fake, floor))
    entropy, entropy_floor = (class_entropy(part, classes) for part in (fake, floor))
    note = "share of the classes that are at least a tenth as frequent as in the test images"
    figures = [
        Figure("classes", "class coverage", coverage, "proxy", n, "higher", coverage_floor, note=note),
        Figure("classes", "class entropy", entropy, "proxy", n, "", entropy_floor, unit="of 1"),
    ]
    if labels is not None:
        accuracy, accuracy_floor = float((fake == labels).double().mean()), extractor.facts.get("accuracy")
        note = "share of samples of the requested class; floor: test images"
        figures.append(Figure("classes", "class accuracy", accuracy, "proxy", n, "higher", accuracy_floor, note=note))
    return figures


def class_coverage(fake: Tensor, real: Tensor, num_classes: int, least: float = 0.1) -> float:
    """Share of the classes of `real` whose frequency in `fake` is at least `least` times that in `real`.

    Args:
        fake, real: labels, int64 (N,).
    """
    shares = [torch.bincount(labels, minlength=num_classes).double() / len(labels) for labels in (fake, real)]
    present = shares[1] > 0
    return float((shares[0] >= least * shares[1])[present].double().mean())


def class_entropy(labels: Tensor, num_classes: int) -> float:
    """Entropy of labels, int64 (N,), relative to the uniform distribution: 1 if all are equally frequent, 0 for one."""
    shares = torch.bincount(labels, minlength=num_classes).double() / len(labels)
    return float(torch.special.entr(shares).sum()) / math.log(num_classes) if num_classes > 1 else 1.0
