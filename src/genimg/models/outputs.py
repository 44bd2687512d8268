"""From the outputs of a generator to images."""

from collections.abc import Callable

import torch
from torch import Tensor


def leaky_tanh(x: Tensor) -> Tensor:
    """tanh(x) + 0.001 x, whose gradient does not vanish.

    The first hundreds of steps often push every pixel to one extreme, to black images. With tanh alone such a generator
    recovered after ten thousand images, or never.
    """
    return torch.tanh(x) + 0.001 * x


def clipped(images: Tensor) -> Tensor:
    """Clips to [-1, 1]. The gradient is that of the identity: a projection can move a pixel that was clipped."""
    if not images.requires_grad:
        return images.clamp(-1, 1)
    return images + (images.clamp(-1, 1) - images).detach()


def _unchanged(x: Tensor) -> Tensor:
    return x


#: Maps from the generator's outputs to images, by the name that `model.output` takes.
OUTPUTS: dict[str, Callable[[Tensor], Tensor]] = {"leaky_tanh": leaky_tanh, "tanh": torch.tanh, "linear": _unchanged}
