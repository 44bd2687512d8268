"""How near samples are to held-out images, and how much of them they reach, by an extractor's features.

Beside each its floor: the same of as many training images, in place of the samples.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from genimg.evaluation.features.extractor import Extractor
from genimg.evaluation.figure import Better, Figure
from genimg.evaluation.metrics.classes import class_coverage, class_entropy
from genimg.evaluation.metrics.frechet import frechet_distance
from genimg.evaluation.metrics.kernel import kernel_distance
from genimg.evaluation.metrics.neighbours import copying, manifold, nearest

NEIGHBOURS = 5  # k of precision, recall, density and coverage
RECIPE = 1  # raised where a `Reference` of the same features would be another: kept ones are made anew
_SEED = 0  # of the kernel distance's subsets


@dataclass(frozen=True)
class Reference:
    """What the real images alone say through one extractor, as `reference` computes it.

    test, floor, train: features, float32 (N, D) each. `floor`: training images, as many as `test`, compared with it
        as samples are. `train`: the other training images, in which copies are looked for.
    floors: {figure: its value for `floor`}.
    to_train: squared distances of `test` to the nearest of `train`, float64 (N,).
    """

    test: Tensor
    floor: Tensor
    train: Tensor
    floors: dict[str, float]
    to_train: Tensor


def reference(test: Tensor, floor: Tensor, train: Tensor) -> Reference:
    """See there: this takes as long as the figures of the samples do, and is the same for every run on the data."""
    to_train = nearest(test, train)[0]
    floors = {name: value for (name, _), (value, _) in _compared(test, floor).items()}
    return Reference(test, floor, train, floors | {"copying": copying(nearest(floor, train)[0], to_train)}, to_train)


def fidelity(real: Reference, fake: Tensor, extractor: Extractor, labels: Tensor | None) -> list[Figure]:
    """The figures of a set of samples.

    Args:
        fake: their features, float32 (N, D), as many as of test images.
        labels: int64 (N,), the classes that the samples were asked to be of, where the model is conditional.
    """
    figures = []
    for (name, better), (value, spread) in _compared(real.test, fake).items():
        shown = "FID" if (name, extractor.name) == ("frechet distance", "inception") else name
        figures.append(Figure("fidelity", shown, value, "proxy", len(fake), better, real.floors[name], spread))
    figures.append(
        Figure(
            "fidelity",
            "copying",
            copying(nearest(fake, real.train)[0], real.to_train),
            "proxy",
            len(fake),
            floor=real.floors["copying"],
            note="share nearer to the training set than a test image is; over the floor: memorised",
        )
    )
    return figures + (_class_figures(real, fake, extractor, extractor.head, labels) if extractor.head else [])


def _compared(real: Tensor, fake: Tensor) -> dict[tuple[str, Better], tuple[float, float | None]]:
    """{(name, which way is better): (value, spread)}."""
    kernel = kernel_distance(real, fake, generator=torch.Generator().manual_seed(_SEED))
    reached = manifold(real, fake, NEIGHBOURS)
    return {
        ("frechet distance", "lower"): (frechet_distance(real, fake), None),
        ("kernel distance", "lower"): (kernel.mean, kernel.std),
        ("precision", "higher"): (reached.precision, None),
        ("recall", "higher"): (reached.recall, None),
        ("density", "higher"): (reached.density, None),
        ("coverage", "higher"): (reached.coverage, None),
    }


@torch.no_grad()
def _class_figures(
    real: Reference, fake: Tensor, extractor: Extractor, head: torch.nn.Module, labels: Tensor | None
) -> list[Figure]:
    device = next(head.parameters()).device
    logits = [head(features.to(device)).cpu() for features in (fake, real.test, real.floor)]
    fake, test, floor = (part.argmax(1) for part in logits)
    classes, count = logits[0].shape[1], len(fake)
    figures = [
        Figure(
            "classes",
            "class coverage",
            class_coverage(fake, test, classes),
            "proxy",
            count,
            "higher",
            class_coverage(floor, test, classes),
            note="share of the classes that come at least a tenth as often as in the test images",
        ),
        Figure(
            "classes",
            "class entropy",
            class_entropy(fake, classes),
            "proxy",
            count,
            "",
            class_entropy(floor, classes),
            unit="of 1",
        ),
    ]
    if labels is not None:
        right = float((fake == labels).double().mean())
        figures.append(
            Figure(
                "classes",
                "class accuracy",
                right,
                "proxy",
                count,
                "higher",
                extractor.facts.get("accuracy"),
                note="are of the class asked for; floor: test images",
            )
        )
    return figures
