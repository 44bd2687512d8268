"""Combines many images into one: contact sheets, clips over time, tiled animations.

Images are uint8 (C, H, W) with one channel (grey) or three (RGB).
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from genimg.common.errors import UserError
from genimg.common.hardware import available_memory, require_memory

GAP = 2  # pixels between tiles and around them
BACKGROUND = 255  # grey level of the gaps and of empty cells
SMALLEST_TILE = 64  # pixels of the longer side; smaller tiles are enlarged
_LARGEST_GIF = 65_535  # pixels per side: the format has 16 bits for each
_BYTES = 12  # of a value while a sheet is made: four copies, and what the palette of an animation takes
_WIDEST = 2.5  # most columns per row of the natural layout: 10 images are 2 x 5


def to_uint8(images: Tensor) -> Tensor:
    """Rounds floats in [-1, 1] of any shape to the nearest of 256 levels, uint8 on the CPU; clips other values."""
    return ((images.detach().float() + 1) * 127.5).round().clamp(0, 255).to("cpu", torch.uint8)


def to_float(images: Tensor) -> Tensor:
    """Converts uint8 to floats in [-1, 1], the inverse of `to_uint8`."""
    return images.float() / 127.5 - 1


def natural_layout(count: int) -> tuple[int, int]:
    """Returns (rows, columns) with the fewest empty cells, then the most square; never more rows than columns.

    >>> natural_layout(10), natural_layout(64), natural_layout(7)
    ((2, 5), (8, 8), (2, 4))
    """
    if count in (1, 2, 3, 5):
        return 1, count
    layouts = [(-(-count // columns), columns) for columns in range(1, count + 1)]
    pleasant = [(rows, columns) for rows, columns in layouts if rows <= columns <= _WIDEST * rows]
    return min(pleasant, key=lambda layout: (layout[0] * layout[1], layout[1]))


def grouped_layout(count: int, groups: int) -> tuple[int, int]:
    """Returns (rows, columns) for `count` images in `groups` of equal size, with no row shared by two groups.

    The natural layout is used where such a layout would be too elongated.

    >>> grouped_layout(10, 2), grouped_layout(64, 2), grouped_layout(10, 10)
    ((2, 5), (8, 8), (2, 5))
    """
    each = count // groups
    layouts = [(count // columns, columns) for columns in range(1, each + 1) if each % columns == 0]
    pleasant = [(rows, columns) for rows, columns in layouts if max(rows, columns) <= _WIDEST * min(rows, columns)]
    if groups == 1 or count % groups or not pleasant:
        return natural_layout(count)
    return min(pleasant, key=lambda layout: (abs(layout[1] - layout[0]), layout[0]))


def layout(count: int, rows: int | None = None, columns: int | None = None) -> tuple[int, int]:
    """Returns (rows, columns) for `count` images: the given numbers, or the natural layout if neither is given.

    Raises:
        UserError: if a number is less than 1, or both are given and have too few cells.
    """
    for key, number in (("rows", rows), ("columns", columns)):
        if number is not None and number < 1:
            raise UserError(key, number, "an integer of 1 or more, or null")
    if rows is None and columns is None:
        return natural_layout(count)
    if rows is not None and columns is not None:
        if rows * columns < count:
            got, hint = f"{rows} x {columns} = {rows * columns} cells", "set one of the two; the other is derived"
            raise UserError("rows, columns", got, f"at least {count} cells, one per image", hint)
        return rows, columns
    given = rows or columns or 1
    other = -(-count // given)
    return (given, other) if rows is not None else (other, given)


def tile_factor(height: int, width: int) -> int:
    """Returns the integer factor that enlarges a tile of a sheet to at least `SMALLEST_TILE`."""
    return -(-SMALLEST_TILE // max(height, width))


def _enlarged(shape: Sequence[int]) -> tuple[int, int]:
    """(height, width) of a tile (..., C, H, W) on a sheet."""
    factor = tile_factor(*shape[-2:])
    return factor * shape[-2], factor * shape[-1]


def check_sheet(rows: int, columns: int, shape: Sequence[int], key: str = "rows, columns") -> None:
    """Raises UserError if a contact sheet of tiles (..., C, H, W) exceeds the free memory.

    key: of the setting that asks for so many.
    """
    height, width = (side + GAP for side in _enlarged(shape))
    needed = _BYTES * rows * columns * math.prod(shape[:-2]) * height * width
    what = f"a sheet of {rows:,} x {columns:,} cells that needs about {{}}"
    require_memory(needed, available_memory(), key, what, "a sheet with fewer images")


def check_animation(rows: int, columns: int, shape: Sequence[int], key: str = "rows, columns") -> None:
    """Raises UserError if an animated sheet of clips (T, C, H, W) exceeds the free memory or the format GIF."""
    check_sheet(rows, columns, shape, key)
    height, width = (GAP + cells * (side + GAP) for cells, side in zip((rows, columns), _enlarged(shape), strict=True))
    if max(height, width) > _LARGEST_GIF:
        expected = f"at most {_LARGEST_GIF:,} pixels per side, the limit of GIF"
        raise UserError(key, f"an animation of {height:,} x {width:,} pixels", expected)


def contact_sheet(images: Tensor, rows: int | None = None, columns: int | None = None) -> Tensor:
    """Arranges uint8 (N, C, H, W) in one image (C, H', W'), left to right and then top to bottom.

    Small images are enlarged by `tile_factor`. Axes between N and C are kept: clips (N, T, C, H, W) become one
    animation (T, C, H', W').

    Raises:
        UserError: if there are fewer than N cells, or the sheet exceeds the free memory.
    """
    rows, columns = layout(len(images), rows, columns)
    check_sheet(rows, columns, images.shape[1:])
    factor = tile_factor(images.shape[-2], images.shape[-1])
    tiles = images.repeat_interleave(factor, -2).repeat_interleave(factor, -1)
    empty = tiles.new_full((rows * columns - len(tiles), *tiles.shape[1:]), BACKGROUND)
    tiles = F.pad(torch.cat([tiles, empty]), (0, GAP, 0, GAP), value=BACKGROUND)
    grid = tiles.unflatten(0, (rows, columns))
    lines = torch.cat(list(grid.unbind(1)), dim=-1)  # (rows, columns, ..., h, w) -> (rows, ..., h, columns * w)
    sheet = torch.cat(list(lines.unbind(0)), dim=-2)  # -> (..., rows * h, columns * w)
    return F.pad(sheet, (GAP, 0, GAP, 0), value=BACKGROUND)


def sheet_over_time(clips: Tensor, most_columns: int = 20) -> Tensor:
    """Arranges uint8 (N, T, C, H, W) in one image, one row per clip and one column per frame.

    Of longer clips, every second frame is shown, or every third, and so on: the frames are evenly spaced.
    """
    kept = clips[:, :: -(-clips.shape[1] // most_columns)]
    return contact_sheet(kept.flatten(0, 1), rows=len(clips), columns=kept.shape[1])


def side_by_side(left: Tensor, right: Tensor, rows: int | None = None, columns: int | None = None) -> Tensor:
    """Arranges the pairs of two uint8 (N, C, H, W) in one image; `rows` and `columns` count pairs.

    By default there are more rows than columns, because a pair is wide.
    """
    if rows is None and columns is None:
        columns, rows = natural_layout(len(left))
    rows, columns = layout(len(left), rows, columns)
    pairs = torch.stack([left, right], dim=1).flatten(0, 1)  # (N, 2, C, H, W) -> (2 * N, C, H, W)
    return contact_sheet(pairs, rows=rows, columns=2 * columns)
