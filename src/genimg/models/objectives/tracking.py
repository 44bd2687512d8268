"""The error of predicted positions."""

import torch.nn.functional as F
from torch import Tensor

#: A hundredth of the image: smaller errors count squared, larger errors linearly.
PRECISION = 0.01


def tracking_error(predicted: Tensor, measured: Tensor) -> Tensor:
    """Huber loss (Huber 1964) of positions in fractions of the image, in units of `PRECISION`: (B, ...) -> (B,).

    Its gradient does not vanish for distant positions, unlike that of the likelihood of an image.
    """
    error = F.smooth_l1_loss(predicted / PRECISION, measured / PRECISION, reduction="none")
    return error.flatten(1).sum(1)
