"""From the word behind `features=` to an extractor."""

from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor, nn

from genimg.common.build import build
from genimg.common.errors import UserError
from genimg.evaluation.features import pretrained
from genimg.evaluation.features.classifier import classifier
from genimg.evaluation.features.extractor import Extractor
from genimg.evaluation.features.random import RandomFeatures

Labelled = tuple[Tensor, Tensor | None]  # uint8 (N, C, H, W), int64 (N,)


def extractor(
    name: str,
    *,
    weights: str | None,
    train: Labelled,
    test: Labelled,
    num_classes: int,
    kept: Path | None,
    device: torch.device,
    trust: Iterable[str],
) -> Extractor:
    """The extractor called `name`: one of ours, or `package.module.Class`, which `trust` must allow.

    Args:
        weights: a file, for `inception`.
        train, test, num_classes, kept: for `classifier`, see there.

    Raises:
        UserError: if it cannot be had here.
    """
    if name == "auto":
        name = "classifier" if num_classes else "efficientnet_lite0"
    if name == "classifier":
        (images, labels), (test_images, test_labels) = train, test
        if labels is None or test_labels is None:
            raise UserError("features", name, "data with labels", hint="features=efficientnet_lite0 needs none")
        return classifier((images, labels), (test_images, test_labels), num_classes, kept, device)
    if name == "random":
        found = Extractor("random", RandomFeatures(train[0].shape[1]), "pixels from -1 to 1")
    elif name == "efficientnet_lite0":
        found = pretrained.efficientnet_lite0()
    elif name == "inception":
        found = pretrained.inception(weights)
    else:
        found = Extractor(name, own(name, trust).eval(), "its own", known=False)
    found.network.to(device)
    return found


def own(target: str, trust: Iterable[str]) -> nn.Module:
    """A user's module by its name, called without arguments."""
    try:
        network = build({"_target_": target}, trust=trust)
    except UserError as error:
        raise UserError("features", target, error.expected, error.hint) from error
    if not isinstance(network, nn.Module):
        raise UserError("features", target, "a torch.nn.Module, from uint8 (B, C, H, W) to (B, D)")
    return network
