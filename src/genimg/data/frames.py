"""Reads the frames of one clip: an animation, a folder of images or a video."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image, ImageSequence

from genimg.common.errors import UserError
from genimg.common.limits import MOST_FRAMES
from genimg.data.decode import Decoder, check_size, open_image
from genimg.data.listing import ClipListing


def read_clip(
    clip: ClipListing, decoder: Decoder, stride: int, max_frames: int, max_read: int = MOST_FRAMES
) -> np.ndarray:
    """Returns every `stride`-th frame, uint8 (F, C, H, W).

    Raises:
        ValueError: if more than `max_frames` frames are kept, or the clip has more than `max_read` frames.
        Exception: the errors of the readers for a damaged file.
    """
    kept = []
    for number, frame in enumerate(_READERS[clip.kind](clip)):
        if number == max_read or len(kept) > max_frames:
            raise ValueError(f"more than {min(max_frames, max_read):,} frames")
        if number % stride == 0:
            kept.append(decoder.convert(frame))
    return np.stack(kept)


def _animation(clip: ClipListing) -> Iterator[Image.Image]:
    with open_image(clip.path) as image:
        yield from ImageSequence.Iterator(image)


def _folder(clip: ClipListing) -> Iterator[Image.Image]:
    for path in clip.frames:
        with open_image(path) as image:
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
        hint = 'pip install "genimg-train[video]", or use GIFs, animated WebPs or folders of frames'
        raise UserError("data.root", path, "an installed video reader", hint) from error
    return av.open(path)


_READERS = {"animation": _animation, "frames": _folder, "video": _video}
