"""Start images that a sequence model stores, so that its checkpoint is sufficient to draw animations."""

import torch
from torch import Tensor, nn

from genimg.common.errors import UserError
from genimg.common.noise import Noise

CAPACITY = 32


class KeptStarts(nn.Module):
    """Up to `CAPACITY` uint8 images with their classes, in buffers, which every checkpoint contains."""

    images: Tensor
    labels: Tensor
    count: Tensor

    def __init__(self, channels: int, height: int, width: int) -> None:
        super().__init__()
        self.register_buffer("images", torch.zeros(CAPACITY, channels, height, width, dtype=torch.uint8))
        self.register_buffer("labels", torch.zeros(CAPACITY, dtype=torch.int64))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def keep(self, images: Tensor, labels: Tensor | None = None) -> None:
        """Replaces the stored images by up to 32 of `images` (N, C, H, W), uint8 or in [-1, 1].

        The classes take turns, so that as many classes as possible are represented.
        """
        chosen = torch.arange(len(images)) if labels is None else _class_by_class(labels)
        images = images[chosen[:CAPACITY]]
        if images.dtype != torch.uint8:
            images = ((images + 1) * 127.5).round().clamp(0, 255).byte()
        self.images[: len(images)] = images
        if labels is not None:
            self.labels[: len(images)] = labels[chosen[:CAPACITY]]
        self.count.fill_(len(images))

    def draw(self, noise: Noise, labels: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Images (N, C, H, W) in [-1, 1] and their classes (N,): in turn, or at random within each requested class."""
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
        return self.images[chosen].float() / 127.5 - 1, self.labels[chosen]


def _class_by_class(labels: Tensor) -> Tensor:
    """Indices that order labels by turns: the first of every class, then the second of every class, and so on."""
    turn = torch.zeros_like(labels)
    for label in labels.unique():
        mine = labels == label
        turn[mine] = torch.arange(int(mine.sum()), device=labels.device)
    return turn.argsort(stable=True)
