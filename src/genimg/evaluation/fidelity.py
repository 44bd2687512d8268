"""How near samples are to held-out pictures, and how much of them they reach, by an extractor's features.

Beside each its floor: the same of as many training pictures, in place of the samples.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from genimg.evaluation.figure import Better, Figure
from genimg.features.extractor import Extractor
from genimg.metrics.classes import class_coverage, class_entropy
from genimg.metrics.frechet import frechet_distance
from genimg.metrics.kernel import kernel_distance
from genimg.metrics.neighbours import copying, manifold, nearest

NEIGHBOURS = 5  # k of precision, recall, density and coverage
_SEED = 0  # of the kernel distance's subsets


@dataclass(frozen=True)
class Features:
    """Of one extractor, float32 (N, D) each; `test`, `floor` and `fake` hold equally many.

    floor: training pictures, which are compared with `test` as the samples are.
    train: the other training pictures, in which copies are looked for.
    """

    test: Tensor
    floor: Tensor
    train: Tensor
    fake: Tensor


def fidelity(found: Features, extractor: Extractor, labels: Tensor | None) -> list[Figure]:
    """The figures of a set of samples.

    labels: int64 (N,), the classes that the samples were asked to be of, where the model is conditional.
    """
    ours, floors = _figures(found.test, found.fake), _figures(found.test, found.floor)
    figures = []
    for (name, better), (value, spread) in ours.items():
        shown = "FID" if (name, extractor.name) == ("frechet distance", "inception") else name
        floor = floors[name, better][0]
        figures.append(Figure("fidelity", shown, value, "proxy", len(found.fake), better, floor, spread))
    to_train = {name: nearest(getattr(found, name), found.train)[0] for name in ("fake", "test", "floor")}
    figures.append(
        Figure(
            "fidelity",
            "copying",
            copying(to_train["fake"], to_train["test"]),
            "proxy",
            len(found.fake),
            floor=copying(to_train["floor"], to_train["test"]),
            note="share nearer to the training set than a test picture is; over the floor: memorised",
        )
    )
    return figures + (_class_figures(found, extractor, extractor.head, labels) if extractor.head is not None else [])


def _figures(real: Tensor, fake: Tensor) -> dict[tuple[str, Better], tuple[float, float | None]]:
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
def _class_figures(found: Features, extractor: Extractor, head: torch.nn.Module, labels: Tensor | None) -> list[Figure]:
    device = next(head.parameters()).device
    logits = [head(features.to(device)).cpu() for features in (found.fake, found.test, found.floor)]
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
            note="share of the classes that come at least a tenth as often as in the test pictures",
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
                note="are of the class asked for; floor: test pictures",
            )
        )
    return figures
