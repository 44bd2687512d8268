"""What a network of a pixel model does while an image is drawn, pixel by pixel."""

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn


class Cursor(Protocol):
    """The features of the pixels of images that are being drawn."""

    def features(self, row: int, column: int) -> Tensor:
        """Features (B, features, 1, 1) of a pixel. All pixels before it are in the images; calls are in their order."""
        ...


@runtime_checkable
class Drawn(Protocol):
    """A network that keeps what it has computed of images (B, C, H, W), into which the caller writes its pixels."""

    def cursor(self, images: Tensor, labels: Tensor | None) -> Cursor: ...


class Recomputed:
    """The cursor of any network: it computes all features of the image again for every pixel."""

    def __init__(self, network: nn.Module, images: Tensor, labels: Tensor | None) -> None:
        self.network, self.images, self.labels = network, images, labels

    def features(self, row: int, column: int) -> Tensor:
        return self.network(self.images, self.labels)[:, :, row, column, None, None]


def cursor(network: nn.Module, images: Tensor, labels: Tensor | None) -> Cursor:
    """The cursor of a network over images that are being drawn."""
    return network.cursor(images, labels) if isinstance(network, Drawn) else Recomputed(network, images, labels)


def with_ones(images: Tensor) -> Tensor:
    """Images with a channel of ones, which tells grey pixels from the padding."""
    return torch.cat([images, torch.ones_like(images[:, :1])], dim=1)
