"""Decodes an image file of any mode to uint8 of the shape that the models need."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from PIL import ExifTags, Image, ImageColor, ImageOps

from genimg.common.errors import UserError
from genimg.common.limits import MOST_PIXELS
from genimg.data.items import ImageShape
from genimg.data.resize import Fit, crop_box, padded_size

Background = str | int | tuple[int, int, int]

#: The formats tried on a file, whatever its name. Pillow reads more, and passes PostScript to an external program.
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")

# Larger blocks than glibc's threads keep for themselves (32 MB) go back to the system when they are freed.
Image.core.set_block_size(2**26)  # pyright: ignore[reportAttributeAccessIssue]

_STRIP = 2**20  # pixels converted at once: the intermediate values of a whole image could take several GB


class TooLargeError(ValueError):
    """An image that would fill the memory: a few hundred bytes can decompress to billions of pixels."""


@contextmanager
def open_image(path: str) -> Iterator[Image.Image]:
    """Opens an image file; only its header has been read.

    Raises TooLargeError above `limits.MOST_PIXELS` pixels, and Pillow's errors.
    """
    try:
        image = Image.open(path, formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:  # its own limits are higher
        raise TooLargeError(f"more than {MOST_PIXELS:,} pixels") from error
    with image:
        check_size(image)
        yield image


def check_size(image: Image.Image) -> None:
    """Raises TooLargeError above `limits.MOST_PIXELS` pixels."""
    _check_size(image.width, image.height)


def _check_size(width: int, height: int) -> None:
    if width * height > MOST_PIXELS:
        raise TooLargeError(f"{width} x {height}, more than {MOST_PIXELS:,} pixels")


class _PixelBudget:
    """Limits the pixels that all threads decode at the same time, and with them the memory."""

    def __init__(self, most: int) -> None:
        self._free = most
        self._changed = threading.Condition()

    @contextmanager
    def hold(self, pixels: int) -> Iterator[None]:
        """Waits until `pixels`, at most those of the budget, are free."""
        with self._changed:
            self._changed.wait_for(lambda: pixels <= self._free)
            self._free -= pixels
        try:
            yield
        finally:
            with self._changed:
                self._free += pixels
                self._changed.notify_all()


_BUDGET = _PixelBudget(MOST_PIXELS)


@contextmanager
def room_for(width: int, height: int) -> Iterator[None]:
    """Waits until the threads of this process decode few enough pixels for one more image: MOST_PIXELS together.

    The memory of decoding, about 8 bytes for each pixel, does not depend on the number of threads. Raises
    TooLargeError for an image above the limit.
    """
    _check_size(width, height)
    with _BUDGET.hold(width * height):
        yield


@dataclass(frozen=True)
class Decoder:
    """Converts images of any mode and size to uint8 of one shape, upright and with antialiasing.

    shape: (C, H, W) of the result.
    fit: "crop" the centre to the aspect ratio of `shape`, "pad" with the background, or "stretch".
    background: RGB, 0..255, behind transparent pixels and of the padding.
    """

    shape: ImageShape
    fit: Fit
    background: tuple[int, int, int]

    def read(self, path: str) -> np.ndarray:
        """Returns uint8 (C, H, W) of an image file, or of an animation's first frame. Raises Pillow's errors."""
        with open_image(path) as image:
            side = 2 * max(self.shape)
            image.draft(None, (side, side))  # a large JPEG is decoded at a half, a quarter, ...
            with room_for(*image.size):
                try:
                    return self.convert(image)
                finally:
                    image.close()  # frees the pixels, before another thread takes their place

    def convert(self, image: Image.Image) -> np.ndarray:
        """Returns uint8 (C, H, W) of an open image."""
        check_size(image)  # a later frame may be larger than the first
        upright = _eight_bits(_upright(image))
        flat = _over(upright, self.background) if upright.has_transparency_data else upright
        fitted = self._fitted(_as_mode(flat, "L" if self.shape[0] == 1 and _is_grey(flat) else "RGB"))
        pixels = np.asarray(fitted.convert("L" if self.shape[0] == 1 else "RGB"))
        return pixels.reshape(*self.shape[1:], self.shape[0]).transpose(2, 0, 1)

    def _fitted(self, image: Image.Image) -> Image.Image:
        _, height, width = self.shape
        size, goal = (image.height, image.width), (height, width)
        if self.fit == "pad":
            inner_height, inner_width = padded_size(size, goal)
            inner = image.resize((inner_width, inner_height), Image.Resampling.BICUBIC)
            canvas = Image.new("RGB", (width, height), self.background)
            canvas.paste(inner, ((width - inner_width) // 2, (height - inner_height) // 2))
            return canvas
        box = crop_box(size, goal) if self.fit == "crop" else None
        return image.resize((width, height), Image.Resampling.BICUBIC, box=box)


def as_rgb(background: Background) -> tuple[int, int, int]:
    """Returns RGB for the name of a colour (`white`, `#20a0ff`), a grey level or three levels, 0..255."""
    levels = (background,) * 3 if isinstance(background, int) else background
    try:
        levels = ImageColor.getrgb(levels)[:3] if isinstance(levels, str) else tuple(levels)
    except ValueError:
        levels = ()
    if len(levels) != 3 or not all(isinstance(level, int) and 0 <= level <= 255 for level in levels):
        raise UserError("data.background", background, "a colour: white, '#20a0ff', 0..255, or [red, green, blue]")
    return levels[0], levels[1], levels[2]


def _upright(image: Image.Image) -> Image.Image:
    """Applies the EXIF orientation. Pillow copies an image that is upright already."""
    return ImageOps.exif_transpose(image) if image.getexif().get(ExifTags.Base.Orientation, 1) != 1 else image


def _as_mode(image: Image.Image, mode: str) -> Image.Image:
    """Converts to a mode. Pillow copies an image that has it already."""
    return image if image.mode == mode else image.convert(mode)


def _eight_bits(image: Image.Image) -> Image.Image:
    """Scales modes of 16 and 32 bits to 8 bits; Pillow's own conversion clips them at 255."""
    if not image.mode.startswith(("I", "F")):
        return image
    full_scale = 65535 if image.mode.startswith("I") else 1.0
    values = np.asarray(image)
    low, high = float(values.min()), float(values.max())
    if low < 0 or high > full_scale:
        raise ValueError(f"values from {low:g} to {high:g}; supported are 0 to {full_scale:g}")
    out = np.empty(values.shape, np.uint8)
    for top, bottom in _strips(image):
        out[top:bottom] = (values[top:bottom].astype(np.float64) * (255 / full_scale)).round()
    return Image.fromarray(out)


def _over(image: Image.Image, background: tuple[int, int, int]) -> Image.Image:
    """Returns RGB: the image before the background."""
    out = Image.new("RGB", image.size)
    image.load()
    for top, bottom in _strips(image):
        layer = image.crop((0, top, image.width, bottom)).convert("RGBA")
        below = Image.new("RGBA", layer.size, (*background, 255))
        out.paste(Image.alpha_composite(below, layer).convert("RGB"), (0, top))
    return out


def _strips(image: Image.Image) -> Iterator[tuple[int, int]]:
    """The first and the last row, exclusive, of strips of about `_STRIP` pixels."""
    rows = max(1, _STRIP // max(1, image.width))
    for top in range(0, image.height, rows):
        yield top, min(image.height, top + rows)


def _is_grey(image: Image.Image) -> bool:
    return image.mode in ("L", "1")
