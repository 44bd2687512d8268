"""Small sources for the tests, whose pixels identify the items; and hostile image files."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

import torch

from genimg.data.items import ImageShape, Part, TensorItems
from genimg.data.module import GenerativeData


@dataclass(frozen=True)
class Numbered:
    """`count` images; the pixels of image i hold i in base 256, its label is i modulo 10."""

    count: int
    has_test_split: bool = False

    def load(self, part: Part, shape: ImageShape) -> TensorItems:
        numbers = torch.arange(self.count) + (self.count if part == "test" else 0)
        images = torch.zeros(self.count, *shape, dtype=torch.uint8)
        images[:, 0, 0, 0] = (numbers % 256).byte()
        images[:, 0, 0, 1] = (numbers // 256).byte()
        return TensorItems(images, numbers % 10, classes=tuple("0123456789"))


fetched: list[int] = []  # the numbers of all images that a `Recorded` source has read


class RecordedItems(TensorItems):
    def fetch(self, indices: torch.Tensor, draw: int) -> torch.Tensor:
        images = super().fetch(indices, draw)
        fetched.extend(numbers_of(images))
        return images


class Recorded(Numbered):
    """`Numbered`, which lists the images that are read in `fetched`; those of the test split begin at `count`."""

    def load(self, part: Part, shape: ImageShape) -> TensorItems:
        items = super().load(part, shape)
        return RecordedItems(items.images, items.labels, items.classes)


def numbers_of(images: torch.Tensor) -> list[int]:
    return (images[:, 0, 0, 0].long() + 256 * images[:, 0, 0, 1].long()).tolist()


def numbered(count: int = 500, has_test_split: bool = False, **settings: object) -> GenerativeData:
    """A data module of `Numbered`, after `setup`."""
    defaults = {"name": "numbered", "image_size": 8, "channels": 1, "batch_size": 32, "num_classes": 10}
    data = GenerativeData(Numbered(count, has_test_split), **(defaults | settings))  # type: ignore[arg-type]
    data.setup("fit")
    return data


def png_bomb(side: int) -> bytes:
    """A PNG whose header claims `side` x `side` pixels; it ends after the first."""
    parts = [(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)), (b"IDAT", zlib.compress(b"\0\0"))]
    chunks = (
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in parts
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def gif_of(count: int, side: int = 8, grows_to: int = 1) -> bytes:
    """A black GIF of `count` frames of 16 bytes; the last frame draws a pixel at `grows_to`."""

    def frame(at: int) -> bytes:  # one pixel: clear, colour 0, end, as codes of three bits
        return b"," + struct.pack("<HHHHB", at - 1, at - 1, 1, 1, 0) + b"\x02\x02\x44\x01\x00"

    screen = b"GIF89a" + struct.pack("<HH", side, side) + b"\x80\x00\x00" + b"\x00\x00\x00\xff\xff\xff"
    return screen + frame(1) * (count - 1) + frame(grows_to) + b";"
