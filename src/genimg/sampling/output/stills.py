"""Still images: a sheet, a PNG for each, and an interpolation as a strip for each pair and a GIF."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from torch import Tensor

from genimg.common.errors import UserError
from genimg.sampling.images.files import save_frames, save_gif, save_png
from genimg.sampling.images.sheets import check_sheet, contact_sheet, layout, to_uint8
from genimg.sampling.interpolation import interpolate
from genimg.sampling.output.drawings import drawings
from genimg.sampling.output.options import OF_LATENTS, SampleOptions
from genimg.sampling.output.saving import ON_SHEET, names, save_each, sheet_cells
from genimg.sampling.source import Source
from genimg.sampling.stream import stream
from genimg.sampling.trained import TrainedModel


def write_stills(trained: TrainedModel, options: SampleOptions, folder: Path) -> Path:
    """Writes sheet.png, images/ with one PNG each, and with `interpolate` interpolation.png and .gif.

    With `drawing` it writes drawing.gif, the sheet while its images are drawn. If images are periodic, it writes
    tiled.png too, the first of them repeated 2 x 2.
    """
    for key in ("start", "end"):
        if (given := getattr(options, key)) is not None:
            raise UserError(key, given, "not set; this model produces still images", "use a model=rnn run")
    if options.frames and options.interpolate is None:
        raise UserError("frames", "true", "false; images are PNGs already", hint="interpolate=8 writes a GIF")
    source = Source(trained, options)
    images = stream(source, options.select, options.clips())
    sheet = _Sheet.of(source, options)
    if options.interpolate is not None:
        _write_interpolation(source, options, options.interpolate, folder)
    _write_images(source, images, sheet, options, folder)
    return folder / "sheet.png"


@dataclass(frozen=True)
class _Sheet:
    """The images of the sheet, in its order, and its layout."""

    order: Sequence[int]
    rows: int
    columns: int

    @classmethod
    def of(cls, source: Source, options: SampleOptions) -> Self:
        shown, rows, columns = sheet_cells(options, source.count, source.trained.image_shape, len(source.classes))
        turns = source.draws.turns
        if turns == 1:
            return cls(source.classes.grouped(shown), rows, columns)
        # one row per seed
        return cls(range(shown), *layout(shown, options.rows, options.columns or (None if options.rows else turns)))


def _write_images(
    source: Source, images: Iterator[Tensor], sheet: _Sheet, options: SampleOptions, folder: Path
) -> None:
    paths = (folder / "images" / f"{name}.png" for name in names(source))
    first = save_each(save_png, images, paths, len(sheet.order), options)
    ordered = first[list(sheet.order)]
    save_png(contact_sheet(ordered, sheet.rows, sheet.columns), folder / "sheet.png")
    if options.drawing:
        steps = contact_sheet(drawings(source, ordered, sheet.order), sheet.rows, sheet.columns)
        save_gif(steps, folder / "drawing.gif", options.frame_ms)
    if source.trained.makes_tiles:
        save_png(first[0].repeat(1, 2, 2), folder / "tiled.png")


def _write_interpolation(source: Source, options: SampleOptions, steps: int, folder: Path) -> None:
    options.check_used("interpolate", (*OF_LATENTS, "rows", "columns", "frames", "drawing"))
    if source.count > ON_SHEET:
        key = "num_images" if options.seeds is None else "seeds"
        raise UserError(key, source.count, f"2 to {ON_SHEET} images with interpolate")
    check_sheet(source.count, steps + 1, source.trained.image_shape, "interpolate")
    save_strips(interpolate(source, steps), options, folder)


def save_strips(images: Tensor, options: SampleOptions, folder: Path) -> None:
    """Writes interpolation.png, a row for each of (N, steps + 1, C, H, W), and interpolation.gif, a loop."""
    strips = to_uint8(images)
    sheet = contact_sheet(strips.flatten(0, 1), rows=len(strips), columns=strips.shape[1])
    save_png(sheet, folder / "interpolation.png")
    ring = strips[:, :-1].flatten(0, 1)  # the last image of a row is the first of the next row
    save_gif(contact_sheet(ring.unsqueeze(0)), folder / "interpolation.gif", options.frame_ms)
    if options.frames:
        save_frames(ring, folder / "interpolation")
