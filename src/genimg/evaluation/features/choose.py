"""The extractors by the name that `features=` takes."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from genimg.common.build import Builder
from genimg.common.errors import UserError
from genimg.evaluation.features import pretrained
from genimg.evaluation.features.classifier import classifier
from genimg.evaluation.features.extractor import Extractor
from genimg.evaluation.features.random import RandomFeatures
from genimg.evaluation.subject import complement

Labelled = tuple[Tensor, Tensor | None]  # uint8 (N, C, H, W), int64 (N,)


@dataclass(frozen=True)
class Request:
    """The inputs that an extractor may need.

    Attributes:
        weights: a file, for `inception`.
        train, test, num_classes, cache_file: see `classifier`.
        learned: the extractor whose features the model was trained on, which cannot judge it; None for most models.
        reserved: indices of the training images that no extractor may be trained on: floors are computed from them.
    """

    weights: str | None
    train: Labelled
    test: Labelled
    reserved: Tensor
    num_classes: int
    cache_file: Path | None
    learned: str | None
    device: torch.device


def _auto(request: Request) -> Extractor:
    names = (["classifier"] if request.num_classes else []) + ["efficientnet_lite0", "random"]
    return EXTRACTORS[next(name for name in names if name != request.learned)](request)


def _classifier(request: Request) -> Extractor:
    (images, labels), (test_images, test_labels) = request.train, request.test
    if labels is None or test_labels is None:
        raise UserError("features", "classifier", "data with labels", hint="features=efficientnet_lite0 needs none")
    rest = complement(len(images), request.reserved)
    train, test = (images[rest], labels[rest]), (test_images, test_labels)
    return classifier(train, test, request.num_classes, request.cache_file, request.device)


def _random(request: Request) -> Extractor:
    return Extractor("random", RandomFeatures(request.train[0].shape[1]), "pixels from -1 to 1")


#: Every extractor by the name that `features` takes.
EXTRACTORS: dict[str, Callable[[Request], Extractor]] = {
    "auto": _auto,
    "classifier": _classifier,
    "efficientnet_lite0": lambda request: pretrained.efficientnet_lite0(),
    "inception": lambda request: pretrained.inception(request.weights),
    "random": _random,
}


def extractor(name: str, request: Request, trust: Iterable[str]) -> Extractor:
    """Returns the extractor `name`: one of `EXTRACTORS`, or a user-defined `package.module.Class` that `trust` allows.

    Raises:
        UserError: if it is not available.
    """
    if name in EXTRACTORS:
        found = EXTRACTORS[name](request)
    else:
        found = Extractor(name, _user_defined(name, trust).eval(), "user-defined", cacheable=False)
    found.network.to(request.device)
    return found


def _user_defined(target: str, trust: Iterable[str]) -> nn.Module:
    """Builds a user-defined module by its path, without arguments."""
    try:
        network = Builder(trust).build({"_target_": target})
    except UserError as error:
        raise UserError("features", target, error.expected, error.hint) from error
    if not isinstance(network, nn.Module):
        raise UserError("features", target, "a torch.nn.Module, from uint8 (B, C, H, W) to (B, D)")
    return network
