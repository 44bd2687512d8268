"""The frames of one clip: an animation, a folder of pictures or a video."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
from PIL import Image, ImageSequence

from genimg.data.decode import Decoder
from genimg.data.listing import ClipListing
from genimg.errors import UserError


def read_clip(clip: ClipListing, decoder: Decoder, stride: int) -> np.ndarray:
    """uint8 (F, C, H, W), every `stride`-th frame. The readers' errors on a damaged file pass through."""
    frames = _READERS[clip.kind](clip)
    return np.stack([decoder.convert(frame) for frame in islice(frames, 0, None, stride)])


def _animation(clip: ClipListing) -> Iterator[Image.Image]:
    with Image.open(clip.path) as image:
        yield from ImageSequence.Iterator(image)


def _folder(clip: ClipListing) -> Iterator[Image.Image]:
    for path in clip.frames:
        with Image.open(path) as image:
            yield image


def _video(clip: ClipListing) -> Iterator[Image.Image]:
    with _open_video(clip.path) as container:
        for frame in container.decode(video=0):
            yield frame.to_image()


def _open_video(path: str) -> Any:
    try:
        import av  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise UserError(
            "data.root",
            path,
            "an installed reader of videos",
            'pip install "genimg-train[video]", or give GIFs, animated WebPs or folders of frames',
        ) from error
    return av.open(path)


_READERS = {"animation": _animation, "frames": _folder, "video": _video}
