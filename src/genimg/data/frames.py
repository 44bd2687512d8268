"""The frames of one clip: an animation, a folder of images or a video."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image, ImageSequence

from genimg.common.errors import UserError
from genimg.common.limits import MOST_FRAMES
from genimg.data.decode import Decoder, check_size, opened
from genimg.data.listing import ClipListing


def read_clip(clip: ClipListing, decoder: Decoder, stride: int, most: int) -> np.ndarray:
    """uint8 (F, C, H, W), every `stride`-th frame.

    Raises ValueError where there are more than `most` of them, or than `limits.MOST_FRAMES` before any is left out. The
    readers' errors on a damaged file pass through.
    """
    kept = []
    for number, frame in enumerate(_READERS[clip.kind](clip)):
        if number == MOST_FRAMES or len(kept) > most:
            raise ValueError(f"more than {min(most, MOST_FRAMES):,} frames")
        if number % stride == 0:
            kept.append(decoder.convert(frame))
    return np.stack(kept)


def _animation(clip: ClipListing) -> Iterator[Image.Image]:
    with opened(clip.path) as image:
        yield from ImageSequence.Iterator(image)


def _folder(clip: ClipListing) -> Iterator[Image.Image]:
    for path in clip.frames:
        with opened(path) as image:
            yield image


def _video(clip: ClipListing) -> Iterator[Image.Image]:
    with _open_video(clip.path) as container:
        for frame in container.decode(video=0):
            check_size(frame)
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
