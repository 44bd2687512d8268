"""What images are worth to who knows each pixel by itself, and nothing of how pixels go together."""

import torch
from torch import Tensor

_PIXELS = 128  # counted at once: 60,000 images are 60 MB as indices
_VALUES = 256


def independent_log_likelihood(train: Tensor, test: Tensor) -> Tensor:
    """log p(x) in nats, float64 (M,), where each pixel has a distribution of its own, independent of all others: its
    histogram over the training images with one count spread evenly over the 256 values, so that none has p = 0.

    Args:
        train: uint8 (N, ...).
        test: uint8 (M, ...), of the same shape.
    """
    known, asked = train.flatten(1), test.flatten(1)
    nats = torch.zeros(len(asked), dtype=torch.float64)
    for start in range(0, known.shape[1], _PIXELS):
        values, wanted = (images[:, start : start + _PIXELS].long() for images in (known, asked))
        offsets = torch.arange(values.shape[1]) * _VALUES
        counts = torch.bincount((values + offsets).flatten(), minlength=values.shape[1] * _VALUES)
        log_p = ((counts.double() + 1 / _VALUES) / (len(known) + 1)).log()
        nats += log_p[wanted + offsets].sum(1)
    return nats
