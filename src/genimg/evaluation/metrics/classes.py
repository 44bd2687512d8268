"""Which classes a set of samples holds, by the labels that a classifier gave them."""

import math

import torch
from torch import Tensor


def class_coverage(fake: Tensor, real: Tensor, num_classes: int, least: float = 0.1) -> float:
    """Share of the classes of `real` whose share among `fake` is at least `least` of that among `real`.

    Args:
        fake, real: labels, int64 (N,).
    """
    shares = [torch.bincount(labels, minlength=num_classes).double() / len(labels) for labels in (fake, real)]
    there = shares[1] > 0
    return float((shares[0] >= least * shares[1])[there].double().mean())


def class_entropy(labels: Tensor, num_classes: int) -> float:
    """Entropy of the labels, int64 (N,), over that of equally many of each class: 1 all alike often, 0 one class."""
    shares = torch.bincount(labels, minlength=num_classes).double() / len(labels)
    return float(torch.special.entr(shares).sum()) / math.log(num_classes) if num_classes > 1 else 1.0
