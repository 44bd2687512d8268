"""Sheets, PNGs and GIFs: each pixel in its place, and exact if the format allows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence
from torch import Tensor

from genimg.common.errors import UserError
from genimg.sampling.images.files import save_gif, save_many, save_png, to_pillow
from genimg.sampling.images.sheets import (
    BACKGROUND,
    GAP,
    contact_sheet,
    grouped_layout,
    layout,
    natural_layout,
    sheet_over_time,
    side_by_side,
    tile_factor,
    to_uint8,
)


def noise(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


def cell(sheet: Tensor, row: int, column: int, height: int, width: int) -> Tensor:
    """The tile at (row, column) of a sheet, at its original size."""
    factor = tile_factor(height, width)
    top, left = GAP + row * (height * factor + GAP), GAP + column * (width * factor + GAP)
    return sheet[..., top : top + height * factor : factor, left : left + width * factor : factor]


def test_every_level_survives_the_conversion_to_floats_and_back() -> None:
    levels = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(to_uint8(levels.float() / 127.5 - 1), levels)


def test_floats_are_rounded_to_the_nearest_level_and_clipped() -> None:
    x = torch.linspace(-1, 1, 10_001)
    assert ((to_uint8(x).float() / 127.5 - 1) - x).abs().max() <= 0.5 / 127.5 + 1e-6
    assert to_uint8(torch.tensor([-7.0, 7.0])).tolist() == [0, 255]
    assert to_uint8(torch.tensor([1.0], dtype=torch.bfloat16)).tolist() == [255]


LAYOUTS = {
    (1, 1): [1],
    (1, 2): [2],
    (1, 3): [3],
    (1, 5): [5],
    (2, 2): [4],
    (2, 4): [7, 8],
    (2, 5): [10],
    (3, 4): [11, 12],
    (8, 8): [64],
    (10, 10): [100],
}


@pytest.mark.parametrize("expected", LAYOUTS)
def test_natural_layout(expected: tuple[int, int]) -> None:
    for count in LAYOUTS[expected]:
        assert natural_layout(count) == expected
        assert grouped_layout(count, 1) == expected


def test_a_natural_layout_holds_all_images_with_few_empty_cells() -> None:
    for count in range(1, 300):
        rows, columns = natural_layout(count)
        assert count <= rows * columns < count + columns
        assert rows <= columns


def test_no_row_of_a_grouped_layout_has_two_groups() -> None:
    assert grouped_layout(10, 2) == (2, 5)
    assert grouped_layout(64, 2) == (8, 8)
    assert grouped_layout(100, 10) == (10, 10)
    for each in range(1, 30):
        for groups in range(1, 12):
            rows, columns = grouped_layout(each * groups, groups)
            assert each % columns == 0 or (rows, columns) == natural_layout(each * groups)
            assert rows * columns >= each * groups


def test_given_rows_and_columns() -> None:
    assert layout(10, rows=4) == (4, 3)
    assert layout(10, columns=4) == (3, 4)
    assert layout(10, rows=3, columns=5) == (3, 5)
    with pytest.raises(UserError, match="at least 10 cells"):
        layout(10, rows=3, columns=3)
    with pytest.raises(UserError, match="rows"):
        layout(10, rows=0)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 28, 20), (1, 100, 100)])
def test_image_i_is_in_cell_i(shape: tuple[int, int, int]) -> None:
    images = noise(10, *shape)
    sheet = contact_sheet(images)
    for index, image in enumerate(images):
        assert torch.equal(cell(sheet, index // 5, index % 5, *shape[1:]), image)


def test_gaps_and_empty_cells_have_the_background_level() -> None:
    sheet = contact_sheet(torch.zeros(3, 1, 64, 64, dtype=torch.uint8), rows=2, columns=2)
    assert sheet.shape == (1, 2 * 64 + 3 * GAP, 2 * 64 + 3 * GAP)
    assert (cell(sheet, 1, 1, 64, 64) == BACKGROUND).all()
    assert int((sheet == 0).sum()) == 3 * 64 * 64


def test_small_tiles_are_enlarged_by_an_integer_factor() -> None:
    assert [tile_factor(size, size) for size in (8, 28, 50, 64, 100)] == [8, 3, 2, 1, 1]
    assert tile_factor(48, 64) == 1


@pytest.mark.parametrize(("frames", "step"), [(7, 1), (8, 2), (14, 2), (15, 3), (40, 6)])
def test_a_row_shows_evenly_spaced_frames_of_a_clip(frames: int, step: int) -> None:
    clips = noise(3, frames, 1, 16, 16)
    sheet = sheet_over_time(clips, most_columns=7)
    kept = clips[:, ::step]
    assert sheet.shape[-1] == contact_sheet(kept.flatten(0, 1), rows=3, columns=kept.shape[1]).shape[-1]
    for row in range(3):
        for column in range(kept.shape[1]):
            assert torch.equal(cell(sheet, row, column, 16, 16), clips[row, step * column])


def test_a_sheet_of_clips_is_an_animation_of_sheets() -> None:
    clips = noise(4, 6, 3, 16, 16)
    sheets = contact_sheet(clips)
    assert torch.equal(sheets[5], contact_sheet(clips[:, 5]))


def test_the_images_of_a_pair_are_adjacent() -> None:
    left, right = noise(10, 1, 32, 32), noise(10, 1, 32, 32, seed=1)
    sheet = side_by_side(left, right)
    assert torch.equal(cell(sheet, 1, 2, 32, 32), left[3])
    assert torch.equal(cell(sheet, 1, 3, 32, 32), right[3])


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB")])
def test_a_png_contains_the_image(tmp_path: Path, channels: int, mode: str) -> None:
    pixels = noise(channels, 9, 5)
    save_png(pixels, tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as image:
        assert image.mode == mode
        assert np.array_equal(np.array(image).reshape(9, 5, channels), pixels.permute(1, 2, 0).numpy())


def test_a_tensor_that_is_not_an_image_is_an_error() -> None:
    with pytest.raises(ValueError, match="float32"):
        to_pillow(torch.zeros(1, 4, 4))


def test_many_files_are_written_and_no_temporary_file_remains(tmp_path: Path) -> None:
    images = noise(600, 1, 8, 8)
    paths = [tmp_path / f"{index:04d}.png" for index in range(600)]
    save_many(save_png, zip(images, paths, strict=True))
    assert sorted(tmp_path.iterdir()) == paths
    with Image.open(paths[599]) as image:
        assert np.array_equal(np.array(image), images[599, 0].numpy())


def test_images_are_requested_as_earlier_ones_are_written(tmp_path: Path) -> None:
    asked = done = most = 0

    def save(image: Tensor, path: Path) -> None:
        nonlocal done
        done += 1

    def images() -> Iterator[tuple[Tensor, Path]]:
        nonlocal asked, most
        for _ in range(3000):
            asked += 1
            most = max(most, asked - done)
            yield noise(1, 1, 1), tmp_path

    save_many(save, images())
    assert done == 3000
    assert most < 300


@pytest.mark.parametrize("step", ["PIL.Image.Image.save", "genimg.common.files.os.replace"])
def test_a_failed_write_raises_and_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def fail(*_: object) -> None:
        raise OSError("no space left")

    save_png(noise(1, 8, 8), tmp_path / "a.png")
    before = (tmp_path / "a.png").read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(step, fail)
        with pytest.raises(OSError, match="no space left"):
            save_many(save_png, [(noise(1, 8, 8, seed=1), tmp_path / "a.png")])
    assert [file.name for file in tmp_path.iterdir()] == ["a.png"]
    assert (tmp_path / "a.png").read_bytes() == before


def frames_of(path: Path) -> Tensor:
    with Image.open(path) as image:
        pages = [np.array(page.convert("RGB")) for page in ImageSequence.Iterator(image)]
    return torch.from_numpy(np.stack(pages)).permute(0, 3, 1, 2)


def test_a_grey_gif_is_exact(tmp_path: Path) -> None:
    frames = noise(7, 1, 20, 30)
    save_gif(frames, tmp_path / "a.gif", frame_ms=70)
    assert torch.equal(frames_of(tmp_path / "a.gif"), frames.expand(-1, 3, -1, -1))
    with Image.open(tmp_path / "a.gif") as image:
        assert image.size == (30, 20)
        assert image.info["loop"] == 0
        assert image.info["duration"] == 70


def test_a_gif_of_few_colours_is_exact(tmp_path: Path) -> None:
    palette = noise(200, 3)
    generator = torch.Generator().manual_seed(2)
    frames = palette[torch.randint(0, 200, (5, 12, 12), generator=generator)].permute(0, 3, 1, 2)
    save_gif(frames, tmp_path / "a.gif")
    assert torch.equal(frames_of(tmp_path / "a.gif"), frames)


def test_a_gif_of_many_colours_is_close(tmp_path: Path) -> None:
    ramp = torch.linspace(0, 255, 64)
    red, green = ramp.view(1, 64).expand(64, 64), ramp.view(64, 1).expand(64, 64)
    frames = torch.stack([torch.stack([red, green, torch.full((64, 64), 20.0 * t)]) for t in range(5)]).byte()
    save_gif(frames, tmp_path / "a.gif")
    error = (frames_of(tmp_path / "a.gif").float() - frames.float()).abs().mean()
    assert error < 12, "levels of 256, on average"


def test_equal_frames_keep_their_duration(tmp_path: Path) -> None:
    frames = noise(1, 1, 8, 8).repeat(4, 1, 1, 1)
    frames[3] = 255 - frames[3]
    save_gif(frames, tmp_path / "a.gif", frame_ms=100)
    with Image.open(tmp_path / "a.gif") as image:
        assert [page.info["duration"] for page in ImageSequence.Iterator(image)] == [300, 100]


def test_the_same_images_make_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        save_png(noise(3, 16, 16), tmp_path / f"{name}.png")
        save_gif(noise(4, 3, 16, 16), tmp_path / f"{name}.gif")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert (tmp_path / "a.gif").read_bytes() == (tmp_path / "b.gif").read_bytes()
