"""Small sources for the tests: every item says by its pixels which one it is."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from genimg.data.items import ImageShape, Part, Stored
from genimg.data.module import GenerativeData


@dataclass(frozen=True)
class Numbered:
    """`count` pictures; the pixels of picture i hold i in base 256, its label is i modulo 10."""

    count: int
    own_test: bool = False

    def load(self, part: Part, shape: ImageShape) -> Stored:
        numbers = torch.arange(self.count) + (self.count if part == "test" else 0)
        images = torch.zeros(self.count, *shape, dtype=torch.uint8)
        images[:, 0, 0, 0] = (numbers % 256).byte()
        images[:, 0, 0, 1] = (numbers // 256).byte()
        return Stored(images, numbers % 10, classes=tuple("0123456789"))


def numbers_of(images: torch.Tensor) -> list[int]:
    return (images[:, 0, 0, 0].long() + 256 * images[:, 0, 0, 1].long()).tolist()


def numbered(count: int = 500, own_test: bool = False, **settings: object) -> GenerativeData:
    """A data module over `Numbered`, set up."""
    defaults = {"name": "numbered", "image_size": 8, "channels": 1, "batch_size": 32, "num_classes": 10}
    data = GenerativeData(Numbered(count, own_test), **(defaults | settings))  # type: ignore[arg-type]
    data.setup("fit")
    return data
