"""Writes PNGs and GIFs: equal images give equal bytes, and a crash leaves no incomplete file."""

import os
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from genimg.common.errors import UserError
from genimg.common.files import atomic_write
from genimg.sampling.images.sheets import to_uint8

_THREADS = min(4, os.cpu_count() or 1)  # zlib releases the global interpreter lock, so PNGs are compressed in parallel
_WAITING = 256  # images queued before more are requested: bounds the memory


def to_pillow(image: Tensor) -> Image.Image:
    """Converts uint8 (C, H, W) to an image of mode L (one channel) or RGB (three)."""
    if image.dtype != torch.uint8 or image.ndim != 3 or image.shape[0] not in (1, 3):
        raise ValueError(f"image must be uint8 (1 or 3, H, W), got {image.dtype} {tuple(image.shape)}")
    if image.shape[0] == 1:
        return Image.fromarray(image[0].numpy())
    return Image.fromarray(np.ascontiguousarray(image.permute(1, 2, 0).numpy()))  # (C, H, W) -> (H, W, C)


def to_pil(images: Tensor) -> list[Image.Image]:
    """Images (N, C, H, W) in [-1, 1], or the frames of one sequence, as images of Pillow of mode L or RGB.

    Raises:
        UserError: for another shape.
    """
    if images.ndim != 4 or images.shape[1] not in (1, 3):
        hint = "to_pil(sequences[0]) is the first one" if images.ndim == 5 else None
        raise UserError("images", f"shape {tuple(images.shape)}", "images (N, 1 or 3, H, W)", hint)
    return [to_pillow(image) for image in to_uint8(images)]


def save_png(image: Tensor, path: Path) -> None:
    """Writes uint8 (C, H, W) to a PNG; an existing file is replaced atomically."""
    with atomic_write(path, sync=False) as file:
        to_pillow(image).save(file, "PNG")


def save_many(save: Callable[[Tensor, Path], None], images: Iterable[tuple[Tensor, Path]]) -> None:
    """Calls `save(image, path)` for each, in a few threads. Images are requested as earlier ones are written."""
    waiting: deque[Future[None]] = deque()
    with ThreadPoolExecutor(_THREADS) as pool:
        for image, path in images:
            waiting.append(pool.submit(save, image, path))
            if len(waiting) > _WAITING:
                waiting.popleft().result()
        while waiting:
            waiting.popleft().result()


def save_gif(frames: Tensor, path: Path, frame_ms: int = 100) -> None:
    """Writes uint8 (T, C, H, W) to a GIF that loops. Grey is exact; colour has one palette for all frames.

    `frame_ms` is the duration of a frame; GIF stores multiples of 10 ms. A frame equal to the previous one extends its
    duration.
    """
    pages = [to_pillow(frame) for frame in frames] if frames.shape[1] == 1 else _with_palette(frames)
    options = {"duration": frame_ms, "loop": 0, "optimize": False, "disposal": 1}
    with atomic_write(path, sync=False) as file:
        pages[0].save(file, "GIF", save_all=True, append_images=pages[1:], **options)


def save_frames(frames: Tensor, folder: Path) -> None:
    """Writes uint8 (T, C, H, W) to one PNG per frame, from 0000.png on: colours are exact and equal frames are kept."""
    digits = max(4, len(str(len(frames) - 1)))
    for index, frame in enumerate(frames):
        save_png(frame, folder / f"{index:0{digits}d}.png")


def _with_palette(frames: Tensor) -> list[Image.Image]:
    """Converts RGB (T, 3, H, W) to images with one palette, so that colours do not flicker.

    Up to 256 colours are exact; more are reduced by median cut over all frames, with dithering.
    """
    pixels = frames.permute(0, 2, 3, 1).numpy()  # (T, 3, H, W) -> (T, H, W, 3)
    codes = (pixels.astype(np.uint32) << np.array([16, 8, 0], dtype=np.uint32)).sum(-1, dtype=np.uint32)
    colours, indices = np.unique(codes, return_inverse=True)
    if len(colours) > 256:
        page = Image.fromarray(
            np.ascontiguousarray(pixels.reshape(-1, pixels.shape[2], 3))
        )  # frames stacked vertically
        palette = page.quantize(256, Image.Quantize.MEDIANCUT)
        return [to_pillow(frame).quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG) for frame in frames]
    table = np.stack([colours >> 16, colours >> 8 & 255, colours & 255], axis=1).astype(np.uint8)
    pages = []
    for frame in indices.reshape(codes.shape).astype(np.uint8):
        image = Image.fromarray(frame).convert("P")
        image.putpalette(table.tobytes())
        pages.append(image)
    return pages
