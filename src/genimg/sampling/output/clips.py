"""Sequences: one animation of all of them, a sheet with one row for each, and a GIF for each."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from torch import Tensor

from genimg.common.errors import UserError
from genimg.sampling.actions import sequence_length
from genimg.sampling.images.files import save_frames, save_gif, save_png
from genimg.sampling.images.sheets import check_animation, contact_sheet, sheet_over_time, to_float
from genimg.sampling.inputs import read_images
from genimg.sampling.output.options import SampleOptions
from genimg.sampling.output.saving import ON_SHEET, names, save_each, sheet_cells
from genimg.sampling.output.starts import read_start
from genimg.sampling.source import Source
from genimg.sampling.stream import stream
from genimg.sampling.trained import TrainedModel

CLIPS_ON_SHEET = 20


def write_clips(trained: TrainedModel, options: SampleOptions, folder: Path, trust: list[str]) -> Path:
    """Writes animation.gif (all sequences side by side), sheet.png (one row per sequence), and sequences/.

    trust: packages whose classes the run of `start=run:` may name.
    """
    if options.interpolate is not None:
        expected = "not set; this model produces sequences"
        raise UserError("interpolate", options.interpolate, expected, "futures=4 draws several sequences from a start")
    if options.frames and not options.individual:
        raise UserError("frames", "true", "false with individual=false; the frames belong to the GIFs in sequences/")
    start = None
    if options.start is not None:
        start = to_float(read_start(trained, options, trust))
        options = replace(options, num_images=len(start))
    source = Source(trained, options)
    end = None
    if options.end is not None:
        images = read_images(options.end, trained.image_shape, "end", skip_unreadable=False)[1]
        end = to_float(images)
    clips = stream(source, options.select, options.clips(start, end))
    shape = (sequence_length(trained, options.num_frames, options.actions), *trained.image_shape)
    given = options.rows is not None or options.columns is not None
    if options.futures > 1 and not given:
        rows, columns = min(source.count, max(1, ON_SHEET // options.futures)), options.futures  # one row per start
        shown = rows * columns
    else:
        shown, rows, columns = sheet_cells(options, source.count * options.futures, trained.image_shape)
    check_animation(rows, columns, shape, "rows, columns" if given or options.futures == 1 else "futures")
    paths = (folder / "sequences" / f"{name}.gif" for name in _names(source, options.futures))
    first = save_each(partial(_save_clip, options=options), clips, paths, shown, options)
    save_png(sheet_over_time(first[:CLIPS_ON_SHEET]), folder / "sheet.png")
    save_gif(contact_sheet(first, rows, columns), folder / "animation.gif", options.frame_ms)
    return folder / "animation.gif"


def _names(source: Source, futures: int) -> Iterator[str]:
    for name in names(source):
        yield from [name] if futures == 1 else (f"{name}-future{future}" for future in range(futures))


def _save_clip(clip: Tensor, path: Path, options: SampleOptions) -> None:
    save_gif(clip, path, options.frame_ms)
    if options.frames:
        save_frames(clip, path.with_suffix(""))
