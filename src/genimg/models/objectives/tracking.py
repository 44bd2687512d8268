"""Positions against measured ones."""

import torch.nn.functional as F
from torch import Tensor

#: A hundredth of the image: within it the error counts by its square, beyond by its size.
PRECISION = 0.01


def tracking_error(foreseen: Tensor, measured: Tensor) -> Tensor:
    """Huber's error (Huber 1964) of positions in parts of the image, in units of `PRECISION`: (B, ...) -> (B,).

    Its gradient is as strong from far away as from near, which that of an image's likelihood is not.
    """
    error = F.smooth_l1_loss(foreseen / PRECISION, measured / PRECISION, reduction="none")
    return error.flatten(1).sum(1)
