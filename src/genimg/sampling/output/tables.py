"""Tables of changed styles: a sheet of sliders for each sample, and samples mixed with samples."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from genimg.common.errors import UserError
from genimg.sampling.images.files import save_png
from genimg.sampling.images.sheets import contact_sheet, to_uint8
from genimg.sampling.inputs import Seeds
from genimg.sampling.output.options import OF_LATENTS, SampleOptions
from genimg.sampling.output.saving import names
from genimg.sampling.source import Source
from genimg.sampling.stills import stream_images
from genimg.sampling.style_tables import mix_styles, stream_sliders
from genimg.sampling.trained import TrainedModel

MIXED = 30  # rows and columns of a table of mixed styles


def write_sliders(trained: TrainedModel, options: SampleOptions, directions: Sequence[str | int], folder: Path) -> Path:
    """Writes sliders/ with one sheet per image, whose rows are directions and whose columns are strengths."""
    options.check_used("sliders", OF_LATENTS)
    source = Source(trained, options)
    grids = stream_sliders(source, directions)
    paths = [folder / "sliders" / f"{name}.png" for name in names(source)]
    for grid, path in zip(grids, paths, strict=True):
        rows, columns = grid.shape[:2]
        save_png(contact_sheet(to_uint8(grid).flatten(0, 1), rows, columns), path)
    return paths[0]


def write_mixed(trained: TrainedModel, options: SampleOptions, mix_seeds: Seeds, folder: Path) -> Path:
    """Writes mixed.png, a table of the samples in its first column with those in its first row."""
    options.check_used("mix_seeds", ("mix_layer", *OF_LATENTS))
    coarse, fine = Source(trained, options), Source(trained, replace(options, seeds=mix_seeds))
    rows, columns = coarse.count, fine.count
    if max(rows, columns) > MIXED:
        hint = "classes=[...] chooses the classes, of which each seed has one image" if trained.classes else None
        raise UserError("mix_seeds", f"{rows} x {columns} images", f"at most {MIXED} rows and {MIXED} columns", hint)
    mixed = mix_styles(coarse, fine, options.mix_layer)
    left, top = (torch.cat(list(stream_images(source, None))) for source in (coarse, fine))
    first_row = torch.cat([torch.ones_like(top[:1]), top])
    table = torch.cat([first_row[None], torch.cat([left[:, None], mixed], dim=1)])
    save_png(contact_sheet(to_uint8(table).flatten(0, 1), rows + 1, columns + 1), folder / "mixed.png")
    return folder / "mixed.png"
