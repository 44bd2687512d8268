"""Completions of the user's images by a pixel model."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch

from genimg.sampling.completion import kept_rows, stream_completions
from genimg.sampling.images.files import save_png
from genimg.sampling.images.sheets import check_sheet, contact_sheet, to_float
from genimg.sampling.inputs import Paths, read_images
from genimg.sampling.output.drawings import HIDDEN
from genimg.sampling.output.options import SampleOptions
from genimg.sampling.output.saving import ON_SHEET, file_name, save_each
from genimg.sampling.source import Source
from genimg.sampling.trained import TrainedModel


def write_completions(trained: TrainedModel, options: SampleOptions, paths: Paths, folder: Path) -> Path:
    """Writes completions.png, in each row an original, its kept part and its completions, and images/."""
    options.check_used("complete", ("known", "futures", "classes", "temperature", "guidance"))
    files, images = read_images(paths, trained.image_shape, "complete", options.skip_unreadable, 12)
    source = Source(trained, replace(options, num_images=len(files)))
    columns = 2 + options.futures
    rows = min(len(files), max(1, ON_SHEET // columns))
    check_sheet(rows, columns, trained.image_shape, "futures")
    made = stream_completions(source, to_float(images), options.known, options.futures)
    first = save_each(save_png, made, _places(files, options.futures, folder), rows * options.futures, options)
    hidden = images[:rows].clone()
    hidden[:, :, kept_rows(images.shape[2], options.known) :] = HIDDEN
    table = torch.cat([images[:rows, None], hidden[:, None], first.unflatten(0, (rows, -1))], dim=1)
    save_png(contact_sheet(table.flatten(0, 1), rows, columns), folder / "completions.png")
    return folder / "completions.png"


def _places(files: list[Path], futures: int, folder: Path) -> Iterator[Path]:
    for index, file in enumerate(files):
        name = f"{index:05d}-{file_name(file.stem)}"
        for future in range(futures):
            yield folder / "images" / (f"{name}.png" if futures == 1 else f"{name}-future{future}.png")
