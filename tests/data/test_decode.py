"""Files of every mode are decoded to the pixels that a viewer shows."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from genimg.common.errors import UserError
from genimg.data.decode import Decoder, as_rgb

RED, GREEN, GREY = [255, 0, 0], [0, 255, 0], [100, 100, 100]


def decoder(shape: tuple[int, int, int] = (3, 8, 8), fit: str = "stretch", background: str = "white") -> Decoder:
    return Decoder(shape, fit, as_rgb(background))  # type: ignore[arg-type]


def corners(pixels: np.ndarray) -> list[list[int]]:
    """Top left and bottom right."""
    return [pixels[:, 0, 0].tolist(), pixels[:, -1, -1].tolist()]


def test_grey_colour_and_bilevel(tmp_path: Path) -> None:
    path = str(tmp_path / "a.png")
    Image.new("L", (8, 8), 100).save(path)
    assert corners(decoder().read(path)) == [GREY, GREY]
    assert decoder((1, 8, 8)).read(path).tolist() == [[[100] * 8] * 8]
    Image.new("RGB", (8, 8), (255, 0, 0)).save(path)
    assert corners(decoder().read(path)) == [RED, RED]
    assert corners(decoder((1, 8, 8)).read(path)) == [[76], [76]]  # 0.299 * 255
    Image.new("1", (8, 8), 1).save(path)
    assert corners(decoder((1, 8, 8)).read(path)) == [[255], [255]]


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA", "P"])
def test_transparent_pixels_show_the_background(tmp_path: Path, mode: str) -> None:
    path = str(tmp_path / "a.png")
    if mode == "P":
        image = Image.new("P", (8, 8), 0)
        image.putpalette([255, 0, 0, 0, 255, 0])
        image.putpixel((7, 7), 1)
        image.save(path, transparency=0)
        expected = GREEN
    else:
        image = Image.new("RGBA", (8, 8), (255, 0, 0, 0))
        image.putpixel((7, 7), (100, 100, 100, 255))
        if mode == "PA":
            path = str(tmp_path / "a.tif")
            image.convert("RGBA").save(path)
        else:
            image.convert(mode).save(path)
        expected = GREY
    assert corners(decoder(background="#0a141e").read(path)) == [[10, 20, 30], expected]


def test_half_transparent_pixels_are_blended(tmp_path: Path) -> None:
    path = str(tmp_path / "a.png")
    Image.new("RGBA", (8, 8), (255, 0, 0, 128)).save(path)
    assert np.abs(decoder(background="black").read(path)[:, 0, 0] - np.array([128, 0, 0])).max() <= 1


def test_sixteen_bits_are_scaled_not_clipped(tmp_path: Path) -> None:
    path = str(tmp_path / "a.png")
    ramp = np.linspace(0, 65535, 64).round().astype(np.uint16).reshape(8, 8)
    Image.fromarray(ramp).save(path)
    with Image.open(path) as image:
        assert image.mode.startswith("I")
    assert decoder((1, 8, 8)).read(path)[0].tolist() == (ramp / 257).round().astype(int).tolist()


def test_floats_outside_0_to_1_are_an_error(tmp_path: Path) -> None:
    path = str(tmp_path / "a.tif")
    Image.fromarray(np.full((8, 8), 0.5, np.float32)).save(path)
    assert corners(decoder().read(path)) == [[128] * 3] * 2
    Image.fromarray(np.full((8, 8), 7.5, np.float32)).save(path)
    with pytest.raises(ValueError, match=r"7\.5"):
        decoder().read(path)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_undone(tmp_path: Path, orientation: int) -> None:
    """The corner that a viewer shows at the top left is red, whichever corner it is stored in."""
    stored = {1: (0, 0), 2: (15, 0), 3: (15, 15), 4: (0, 15), 5: (0, 0), 6: (0, 15), 7: (15, 15), 8: (15, 0)}
    image = Image.new("RGB", (16, 16), "white")
    left, top = (8 * (place > 0) for place in stored[orientation])
    image.paste("red", (left, top, left + 8, top + 8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(tmp_path / "a.png", exif=exif)
    pixels = decoder((3, 16, 16)).read(str(tmp_path / "a.png"))
    assert corners(pixels) == [RED, [255] * 3]


def test_an_animation_gives_its_first_frame(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "lime", "blue")]
    for name in ("a.gif", "a.webp"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], lossless=True)
        assert corners(decoder().read(str(tmp_path / name))) == [RED, RED]


def test_cmyk_jpegs_have_their_colours(tmp_path: Path) -> None:
    path = str(tmp_path / "a.jpg")
    Image.new("RGB", (16, 16), "red").convert("CMYK").save(path, quality=100)
    with Image.open(path) as image:
        assert image.mode == "CMYK"
    assert np.abs(decoder().read(path)[:, 4, 4].astype(int) - RED).max() <= 3


def test_crop_pad_and_stretch(tmp_path: Path) -> None:
    """Of red | green | red, a crop shows the centre, padding everything and the background, stretching everything."""
    path = str(tmp_path / "a.png")
    image = Image.new("RGB", (64, 32), "red")
    image.paste("lime", (16, 0, 48, 32))
    image.save(path)
    assert corners(decoder((3, 32, 32), "crop").read(path)) == [GREEN, GREEN]
    assert corners(decoder((3, 32, 32), "stretch").read(path)) == [RED, RED]
    padded = decoder((3, 32, 32), "pad", "#0a141e").read(path)
    assert padded[:, 0, 0].tolist() == padded[:, 7, 0].tolist() == [10, 20, 30]
    assert padded[:, 16, 1].tolist() == RED
    assert padded[:, 16, 16].tolist() == GREEN


def test_shrinking_is_antialiased(tmp_path: Path) -> None:
    path = str(tmp_path / "a.png")
    checks = (np.indices((126, 126)).sum(0) % 2 * 255).astype(np.uint8)
    Image.fromarray(checks).save(path)
    inner = decoder((1, 18, 18)).read(path)[0, 2:-2, 2:-2].astype(int)
    assert np.abs(inner - 127.5).max() < 3


def test_a_large_jpeg_decoded_at_a_fraction_of_its_size_looks_the_same(tmp_path: Path) -> None:
    path = str(tmp_path / "a.jpg")
    ramp = np.repeat(np.linspace(0, 255, 1024).astype(np.uint8)[None], 1024, 0)
    Image.fromarray(ramp).save(path, quality=95)
    row = decoder((1, 32, 32)).read(path)[0, 16].astype(int)
    assert np.abs(row - np.linspace(4, 251, 32)).max() < 3


@pytest.mark.parametrize(
    ("given", "colour"),
    [("white", (255,) * 3), ("#20a0ff", (32, 160, 255)), (7, (7, 7, 7)), ([1, 2, 3], (1, 2, 3))],
)
def test_a_background_is_a_name_a_level_or_three_levels(given, colour) -> None:
    assert as_rgb(given) == colour


@pytest.mark.parametrize("given", ["wihte", 256, -1, [1, 2], [0, 0, 300]])
def test_a_background_that_is_not_a_colour_is_an_error(given) -> None:
    with pytest.raises(UserError) as caught:
        as_rgb(given)
    assert caught.value.key == "data.background"


_MEASURE = """
import resource, sys
from unittest import mock
import numpy as np
from PIL import Image
from genimg.data.decode import Decoder
from genimg.data.images import decode_all

folder, mode, side = sys.argv[1], sys.argv[2], int(sys.argv[3])
paths = [f"{folder}/{mode}.png"] * 4
out = np.empty((4, 3, 8, 8), np.uint8)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with mock.patch("os.cpu_count", return_value=4):
    assert not decode_all(paths, Decoder((3, 8, 8), "crop", (255, 255, 255)), out)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["I;16", "RGBA", "LA", "P"])
def test_large_images_take_less_than_1_gb_with_any_number_of_threads(tmp_path: Path, mode: str) -> None:
    side = 8192
    Image.new(mode, (side, side)).save(tmp_path / f"{mode}.png", compress_level=1)
    command = [sys.executable, "-c", _MEASURE, str(tmp_path), mode, str(side)]
    megabytes = int(subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout)
    assert megabytes < 1000
