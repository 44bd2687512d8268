"""Reads the frames of one clip: an animation, a folder of images, cells of a sheet, or a video."""

from collections.abc import Generator
from contextlib import closing
from itertools import islice
from typing import Any

import numpy as np
from PIL import Image, ImageSequence

from genimg.common.errors import UserError
from genimg.common.limits import MOST_ANIMATED_PIXELS, MOST_FRAMES
from genimg.data.decode import Decoder, check_size, open_image, room_for
from genimg.data.listing import ClipListing


def read_clip(
    clip: ClipListing, decoder: Decoder, stride: int, max_frames: int, max_read: int = MOST_FRAMES
) -> np.ndarray:
    """Returns every `stride`-th frame, uint8 (F, C, H, W). A row of a sheet may have none.

    Raises:
        ValueError: if more than `max_frames` frames are kept, or the clip has more than `max_read` frames.
        Exception: the errors of the readers for a damaged file.
    """
    kept = []
    with closing(_READERS[clip.kind](clip)) as frames:
        for number, frame in enumerate(frames):
            if number == max_read or len(kept) > max_frames:
                raise ValueError(f"more than {min(max_frames, max_read):,} frames")
            if number % stride == 0:
                kept.append(decoder.convert(frame))
    return np.stack(kept) if kept else np.empty((0, *decoder.shape), np.uint8)


def read_first(clip: ClipListing, decoder: Decoder, count: int) -> np.ndarray:
    """Returns the first `count` frames, uint8 (count, C, H, W).

    Raises:
        ValueError: if the clip has fewer.
        Exception: the errors of the readers for a damaged file.
    """
    with closing(_READERS[clip.kind](clip)) as frames:
        kept = [decoder.convert(frame) for frame in islice(frames, count)]
    if len(kept) < count:
        raise ValueError(f"{len(kept)} {'frame' if len(kept) == 1 else 'frames'}, fewer than {count}")
    return np.stack(kept)


def _animation(clip: ClipListing) -> Generator[Image.Image]:
    with open_image(clip.path) as image, room_for(*image.size):
        # every frame costs the time of the whole canvas, however small the part that it changes
        _check_pixels(image.width * image.height * getattr(image, "n_frames", 1))
        pixels = 0
        for number, frame in enumerate(ImageSequence.Iterator(image)):
            pixels += frame.width * frame.height  # a later frame may enlarge the canvas
            _check_pixels(pixels)
            if number or not getattr(image, "default_image", False):  # a PNG may have an image for other viewers
                yield frame


def _check_pixels(pixels: int) -> None:
    if pixels > MOST_ANIMATED_PIXELS:
        raise ValueError(f"{pixels:,} pixels in all frames, more than {MOST_ANIMATED_PIXELS:,}")


def _folder(clip: ClipListing) -> Generator[Image.Image]:
    for path in clip.frames:
        with open_image(path) as image, room_for(*image.size):
            yield image


def _sheet(clip: ClipListing) -> Generator[Image.Image]:
    """The cells row by row, without transparent ones at the end of a row, which fill it up."""
    columns, rows, chosen = clip.cells
    with open_image(clip.path) as image, room_for(*image.size):
        if image.width % columns or image.height % rows:
            size, grid = f"{image.width} x {image.height} pixels", f"{columns} columns and {rows} rows"
            raise ValueError(f"{size} do not divide into {grid}")
        width, height = image.width // columns, image.height // rows
        for row in chosen:
            boxes = ((x * width, row * height, (x + 1) * width, (row + 1) * height) for x in range(columns))
            cells = [image.crop(box) for box in boxes]
            while cells and _is_transparent(cells[-1]):
                cells.pop()
            yield from cells


def _is_transparent(image: Image.Image) -> bool:
    """Whether no pixel is visible."""
    return image.has_transparency_data and image.convert("RGBA").getchannel("A").getextrema()[1] == 0


def _video(clip: ClipListing) -> Generator[Image.Image]:
    av = _video_reader(clip.path)
    # An open file and a named demuxer: others, such as that of playlists, open the files that the content names.
    with open(clip.path, "rb") as file:
        head = file.read(12)
        file.seek(0)
        with av.open(file, format=container_of(head)) as container:
            stream = container.streams.video[0].codec_context
            with room_for(stream.width, stream.height):
                for frame in container.decode(video=0):
                    check_size(frame)
                    yield frame.to_image()


def container_of(head: bytes) -> str:
    """Returns FFmpeg's name of the container of a video that begins with `head`, of at least 12 bytes.

    Raises:
        ValueError: for anything but MP4, QuickTime, AVI, Matroska and WebM.
    """
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"):
        return "mov"
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return "avi"
    if head[:4] == b"\x1a\x45\xdf\xa3":
        return "matroska"
    raise ValueError("the content is not MP4, QuickTime, AVI, Matroska or WebM")


def _video_reader(path: str) -> Any:
    try:
        import av  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        hint = 'pip install "genimg-train[video]", or use GIFs, animated WebPs or folders of frames'
        raise UserError("data.root", path, "an installed video reader", hint) from error
    return av


_READERS = {"animation": _animation, "frames": _folder, "video": _video, "sheet": _sheet}
