"""What an extractor is: a network with a name, a digest and a word on how it sees images."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from genimg.common.errors import UserError

BATCH = 250  # images at once


@dataclass(frozen=True)
class Extractor:
    """A network that turns images into vectors.

    name: `classifier`, `inception`, ...
    network: uint8 (B, C, H, W) -> (B, D).
    preprocessing: in words, how the network sees the images; a part of what identifies its features.
    facts: what else a reader of its figures should know, as plain types: the classifier's accuracy.
    known: its digest says all; not of a user's class, whose code may change: its features are not kept.
    head: vectors (B, D) -> logits of the data's classes, where the network knows them.
    """

    name: str
    network: nn.Module
    preprocessing: str
    facts: dict[str, Any] = field(default_factory=dict)
    head: nn.Module | None = None
    known: bool = True

    @cached_property
    def digest(self) -> str:
        """sha256 of the weights and of how they are used."""
        digest = hashlib.sha256(f"{self.name}\n{type(self.network)}\n{self.preprocessing}".encode())
        for name, tensor in sorted(self.network.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()

    @torch.no_grad()
    def __call__(self, images: Tensor, device: torch.device) -> Tensor:
        """uint8 (N, C, H, W) -> float32 (N, D), on the CPU."""
        parts = []
        for part in images.split(BATCH):
            vectors = self.network(part.to(device))
            if vectors.ndim != 2 or len(vectors) != len(part) or not vectors.isfinite().all():
                got = f"{self.name}, which gives {tuple(vectors.shape)} for {tuple(part.shape)}"
                raise UserError("features", got, "vectors (B, D) of finite numbers")
            parts.append(vectors.float().cpu())
        return torch.cat(parts)

    def stream(self, pieces: Iterable[Tensor], device: torch.device) -> Tensor:
        """As a call, for images that come in pieces and are never all in memory."""
        return torch.cat([self(piece, device) for piece in pieces])


def as_rgb(images: Tensor) -> Tensor:
    """(B, 1 or 3, H, W) -> (B, 3, H, W): grey repeated, for networks that know colour images only."""
    return images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images
