"""The start pictures that a sequence model keeps, so that its checkpoint is enough to draw animations from."""

import torch
from torch import Tensor, nn

from genimg.errors import UserError

CAPACITY = 32


class KeptStarts(nn.Module):
    """Up to `CAPACITY` pictures as uint8 with their classes, in buffers and so in every checkpoint."""

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
        """Pictures (N, C, H, W), uint8 or in [-1, 1], in the place of all kept before; those beyond 32 are left out."""
        images = images[:CAPACITY]
        if images.dtype != torch.uint8:
            images = ((images + 1) * 127.5).round().clamp(0, 255).byte()
        self.images[: len(images)] = images
        if labels is not None:
            self.labels[: len(images)] = labels[:CAPACITY]
        self.count.fill_(len(images))

    def draw(self, count: int, generator: torch.Generator, labels: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Pictures (N, C, H, W) in [-1, 1] and their classes (N,): in turn, or at random among each wanted class's."""
        kept = int(self.count)
        if not kept:
            raise UserError("start", None, "a picture to start from: this model keeps none of its own")
        if labels is None:
            chosen = torch.arange(count, device=self.images.device) % kept
        else:
            matches = labels[:, None] == self.labels[:kept]  # (N, kept)
            if not bool(matches.any(1).all()):
                known = sorted(set(self.labels[:kept].tolist()))
                raise UserError(
                    "classes", sorted(set(labels.tolist())), f"classes with a kept start picture: {known}",
                    "start=PICTURE.png starts from a picture of any class",
                )  # fmt: skip
            chosen = torch.multinomial(matches.float(), 1, generator=generator).squeeze(1)
        return self.images[chosen].float() / 127.5 - 1, self.labels[chosen]
