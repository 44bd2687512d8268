"""A feature extractor: a network with a name, a digest, and a description of its preprocessing."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from genimg.common.errors import UserError

_BATCH = 250


@dataclass(frozen=True)
class Extractor:
    """A network that maps images to vectors.

    Attributes:
        name: `classifier`, `inception`, ...
        network: uint8 (B, C, H, W) -> (B, D).
        preprocessing: description of the network's input; part of the digest.
        facts: further plain values for a reader of the metrics, such as the classifier's accuracy.
        head: vectors (B, D) -> logits of the data's classes, if the network has them.
        cacheable: whether the digest identifies the features; not for a user-defined class, whose code may change.
    """

    name: str
    network: nn.Module
    preprocessing: str
    facts: dict[str, Any] = field(default_factory=dict)
    head: nn.Module | None = None
    cacheable: bool = True

    @cached_property
    def digest(self) -> str:
        """sha256 of the name, the class, the preprocessing and the weights."""
        digest = hashlib.sha256(f"{self.name}\n{type(self.network)}\n{self.preprocessing}".encode())
        for name, tensor in sorted(self.network.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()

    @torch.no_grad()
    def __call__(self, images: Tensor, device: torch.device) -> Tensor:
        """uint8 (N, C, H, W) -> float32 (N, D), on the CPU."""
        parts = []
        for part in images.split(_BATCH):
            vectors = self.network(part.to(device))
            if vectors.ndim != 2 or len(vectors) != len(part) or not vectors.isfinite().all():
                got = f"{self.name}, which gives {tuple(vectors.shape)} for {tuple(part.shape)}"
                raise UserError("features", got, "vectors (B, D) of finite numbers")
            parts.append(vectors.float().cpu())
        return torch.cat(parts)

    def stream(self, batches: Iterable[Tensor], device: torch.device) -> Tensor:
        """The features of batches of images, which are never all in memory."""
        return torch.cat([self(batch, device) for batch in batches])
