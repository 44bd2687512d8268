"""Starts that a sequence model stores, so that its checkpoint is sufficient to draw animations."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from genimg.common.errors import UserError
from genimg.common.noise import Noise

CAPACITY = 32


class KeptStarts(nn.Module):
    """Up to `CAPACITY` uint8 starts with their classes, in buffers, which every checkpoint contains.

    shape: of a start, (k, C, H, W) for k given frames.
    """

    images: Tensor
    labels: Tensor
    count: Tensor

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__()
        self.shape = tuple(shape)
        channels = math.prod(shape[:-2])  # of all frames: torch converts modules with 5 axes to no memory format
        self.register_buffer("images", torch.zeros(CAPACITY, channels, *shape[-2:], dtype=torch.uint8))
        self.register_buffer("labels", torch.zeros(CAPACITY, dtype=torch.int64))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def keep(self, starts: Tensor, labels: Tensor | None = None) -> None:
        """Replaces the stored starts by up to 32 of `starts` (N, *shape), uint8 or in [-1, 1].

        The classes take turns, so that as many classes as possible are represented.
        """
        chosen = torch.arange(len(starts)) if labels is None else _class_by_class(labels)
        images = starts[chosen[:CAPACITY]]
        if images.dtype != torch.uint8:
            images = ((images + 1) * 127.5).round().clamp(0, 255).byte()
        self.images[: len(images)] = images.view(len(images), *self.images.shape[1:])
        if labels is not None:
            self.labels[: len(images)] = labels[chosen[:CAPACITY]]
        self.count.fill_(len(images))

    def draw(self, noise: Noise, labels: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Starts (N, *shape) in [-1, 1] and their classes (N,): in turn, or at random within each requested class."""
        kept = int(self.count)
        if not kept:
            raise UserError("start", None, "a start image, because this model stores none")
        if labels is None:
            chosen = noise.indices.to(self.images.device) % kept
        else:
            matches = labels[:, None] == self.labels[:kept]  # (N, kept)
            matches |= ~matches.any(1, keepdim=True)  # a class without an image uses those of other classes
            number = (noise.uniform(1).to(matches.device) * matches.sum(1, keepdim=True)).long()  # of the matches
            chosen = (matches.cumsum(1) <= number).sum(1)
        return (self.images[chosen].float() / 127.5 - 1).view(-1, *self.shape), self.labels[chosen]


def _class_by_class(labels: Tensor) -> Tensor:
    """Indices that order labels by turns: the first of every class, then the second of every class, and so on."""
    turn = torch.zeros_like(labels)
    for label in labels.unique():
        mine = labels == label
        turn[mine] = torch.arange(int(mine.sum()), device=labels.device)
    return turn.argsort(stable=True)
