"""Samples as files in a folder: a sheet, and each image or animation as a file."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib import resources
from itertools import islice
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from genimg.common.errors import UserError
from genimg.common.settings import read_settings
from genimg.sampling.classes import Classes
from genimg.sampling.draws import Draws
from genimg.sampling.images.files import save_frames, save_gif, save_many, save_png
from genimg.sampling.images.sheets import (
    contact_sheet,
    grouped_layout,
    layout,
    sheet_over_time,
    side_by_side,
    to_float,
    to_uint8,
)
from genimg.sampling.inputs import Paths, Seeds, read_images
from genimg.sampling.sampler import CHUNK, Sampler, Strengths

ON_SHEET = 100  # images shown on the sheet
CLIPS_ON_SHEET = 20
MIXED = 30  # rows and columns of a table of mixed styles


@dataclass(frozen=True)
class SampleOptions:
    """Keys of configs/sample.yaml, which documents them and is the only place of their defaults."""

    num_images: int
    seed: int
    seeds: Seeds | None
    classes: Classes | None
    truncation: float | None
    truncation_psi: float | None
    directions: Strengths | None
    select: float | None
    temperature: float
    rows: int | None
    columns: int | None
    interpolate: int | None
    sliders: Sequence[str | int] | None
    mix_seeds: Seeds | None
    mix_layer: int | None
    reconstruct: Paths | None
    start: Paths | None
    num_frames: int | None
    futures: int
    fps: float
    frames: bool
    individual: bool

    @classmethod
    def defaults(cls, **changes: Any) -> SampleOptions:
        """Returns the defaults of configs/sample.yaml with `changes`."""
        text = resources.files("genimg.configs").joinpath("sample.yaml").read_text(encoding="utf-8")
        return read_settings(cls, {**yaml.safe_load(text), **changes})

    @property
    def noise(self) -> dict[str, Any]:
        """Arguments of `Sampler.stream`, `Sampler.interpolate` and `Sampler.sliders`."""
        names = ("seed", "seeds", "classes", "temperature", "truncation", "truncation_psi")
        return {name: getattr(self, name) for name in names}

    @property
    def changes(self) -> dict[str, Any]:
        """Further arguments of `Sampler.stream`."""
        return {"directions": self.directions, "select": self.select}

    @property
    def time(self) -> dict[str, Any]:
        """Arguments of `Sampler.stream` for sequences."""
        return {"num_frames": self.num_frames, "futures": self.futures}

    @property
    def frame_ms(self) -> int:
        """Duration of a GIF frame in milliseconds."""
        return round(1000 / self.fps)


def write_samples(sampler: Sampler, options: SampleOptions, folder: Path) -> Path:
    """Draws samples into `folder` and returns the file to open first.

    An image model writes sheet.png, images/ with one PNG each, and with `interpolate` interpolation.png and .gif.
    A sequence model writes animation.gif (all sequences side by side), sheet.png (one row per sequence), and
    sequences/ with one GIF each.
    With `sliders`: sliders/ with one sheet per image, whose rows are directions and whose columns are strengths.
    With `mix_seeds`: mixed.png, a table of the samples in its first column with those in its first row.
    With `reconstruct`: reconstructions.png, each original beside its reconstruction, and images/.
    With `frames`: each frame of a GIF in sequences/, or of the interpolation, as a PNG in a folder of the GIF's name.
    The order of the file names is the order in which the samples were drawn; with `seeds` they carry the seeds.

    Raises:
        UserError: if the model does not support an option, before anything is written.
    """
    if options.reconstruct is not None:
        return _write_reconstructions(sampler, options, options.reconstruct, folder)
    if options.sliders is not None:
        return _write_sliders(sampler, options, options.sliders, folder)
    if options.mix_seeds is not None:
        return _write_mixed(sampler, options, options.mix_seeds, folder)
    if options.mix_layer is not None:
        raise UserError("mix_layer", options.mix_layer, "not set without mix_seeds", "mix_seeds=[1-5]")
    if sampler.makes_sequences:
        return _write_sequences(sampler, options, folder)
    return _write_images(sampler, options, folder)


def _write_images(sampler: Sampler, options: SampleOptions, folder: Path) -> Path:
    if options.start is not None:
        expected = "not set; this model produces still images"
        raise UserError("start", options.start, expected, "use a model=rnn run")
    if options.frames and options.interpolate is None:
        raise UserError("frames", "true", "false; images are PNGs already", hint="interpolate=8 writes a GIF")
    if options.interpolate is not None:
        _check_unset(options, ("select",), "interpolate")
    chunks = sampler.stream(options.num_images, **options.noise, **options.changes, **options.time)
    draws = sampler.draws(options.num_images, options.seed, options.seeds, options.classes)
    shown, rows, columns = _sheet_cells(options, draws.count, sampler.class_count(options.classes))
    order = sampler.grouped_by_class(options.classes, shown)
    if draws.turns > 1:  # one row per seed
        order = list(range(shown))
        rows, columns = layout(shown, options.rows, options.columns or (None if options.rows else draws.turns))
    if options.interpolate is not None and draws.count > ON_SHEET:
        key = "num_images" if options.seeds is None else "seeds"
        raise UserError(key, draws.count, f"2 to {ON_SHEET} images with interpolate")
    if options.interpolate is not None:
        strips = to_uint8(
            sampler.interpolate(options.num_images, options.interpolate, **options.noise, directions=options.directions)
        )
        sheet = contact_sheet(strips.flatten(0, 1), rows=len(strips), columns=strips.shape[1])
        save_png(sheet, folder / "interpolation.png")
        ring = strips[:, :-1].flatten(0, 1)  # the last image of a row is the first of the next row
        save_gif(contact_sheet(ring.unsqueeze(0)), folder / "interpolation.gif", options.frame_ms)
        if options.frames:
            save_frames(ring, folder / "interpolation")
    names = _names(sampler, options, draws)
    first = _save_each(save_png, chunks, (folder / "images" / f"{name}.png" for name in names), shown, options)
    save_png(contact_sheet(first[order], rows, columns), folder / "sheet.png")
    return folder / "sheet.png"


def _write_sequences(sampler: Sampler, options: SampleOptions, folder: Path) -> Path:
    if options.interpolate is not None:
        expected = "not set; this model produces sequences"
        raise UserError("interpolate", options.interpolate, expected, "futures=4 draws several sequences from a start")
    if options.frames and not options.individual:
        raise UserError("frames", "true", "false with individual=false; the frames belong to the GIFs in sequences/")
    start, count = None, options.num_images
    if options.start is not None:
        files, images = _read_given(options.start, sampler, options, "start")
        start, count = to_float(images), len(files)
    chunks = sampler.stream(count, start=start, **options.noise, **options.changes, **options.time)
    draws = sampler.draws(count, options.seed, options.seeds, options.classes)
    count = draws.count
    if options.futures > 1 and options.rows is None and options.columns is None:
        rows, columns = min(count, max(1, ON_SHEET // options.futures)), options.futures  # one row per start
        shown = rows * columns
    else:
        shown, rows, columns = _sheet_cells(options, count * options.futures)
    names = (
        f"{name}-future{future}" if options.futures > 1 else name
        for name in _names(sampler, options, draws)
        for future in range(options.futures)
    )
    save = partial(_save_clip, options=options)
    first = _save_each(save, chunks, (folder / "sequences" / f"{name}.gif" for name in names), shown, options)
    save_png(sheet_over_time(first[:CLIPS_ON_SHEET]), folder / "sheet.png")
    save_gif(contact_sheet(first, rows, columns), folder / "animation.gif", options.frame_ms)
    return folder / "animation.gif"


def _save_clip(clip: Tensor, path: Path, options: SampleOptions) -> None:
    save_gif(clip, path, options.frame_ms)
    if options.frames:
        save_frames(clip, path.with_suffix(""))


def _write_sliders(sampler: Sampler, options: SampleOptions, directions: Sequence[str | int], folder: Path) -> Path:
    _check_unset(options, ("interpolate", "directions", "select", "mix_seeds", "mix_layer"), "sliders")
    grids = sampler.sliders(directions, options.num_images, **options.noise)
    draws = sampler.draws(options.num_images, options.seed, options.seeds, options.classes)
    paths = [folder / "sliders" / f"{name}.png" for name in _names(sampler, options, draws)]
    for grid, path in zip(grids, paths, strict=True):
        rows, columns = grid.shape[:2]
        save_png(contact_sheet(to_uint8(grid).flatten(0, 1), rows, columns), path)
    return paths[0]


def _write_mixed(sampler: Sampler, options: SampleOptions, mix_seeds: Seeds, folder: Path) -> Path:
    _check_unset(options, ("interpolate", "directions", "select"), "mix_seeds")
    rows = sampler.draws(options.num_images, options.seed, options.seeds, options.classes).count
    columns = sampler.draws(0, 0, mix_seeds, options.classes).count
    if max(rows, columns) > MIXED:
        hint = "classes=[...] chooses the classes, of which each seed has one image" if sampler.classes else None
        raise UserError("mix_seeds", f"{rows} x {columns} images", f"at most {MIXED} rows and {MIXED} columns", hint)
    mixed = sampler.mix(mix_seeds, options.num_images, mix_layer=options.mix_layer, **options.noise)
    left = sampler.sample(options.num_images, **options.noise)
    top = sampler.sample(**replace(options, seeds=mix_seeds).noise)
    first_row = torch.cat([torch.ones_like(top[:1]), top])
    table = torch.cat([first_row[None], torch.cat([left[:, None], mixed], dim=1)])
    sheet = contact_sheet(to_uint8(table).flatten(0, 1), rows + 1, columns + 1)
    save_png(sheet, folder / "mixed.png")
    return folder / "mixed.png"


def _check_unset(options: SampleOptions, keys: Sequence[str], by: str) -> None:
    """Raises UserError if one of `keys` is set, which the output of `by` does not use."""
    for key in keys:
        if (value := getattr(options, key)) is not None:
            raise UserError(key, value, f"not set with {by}")


def _write_reconstructions(sampler: Sampler, options: SampleOptions, paths: Paths, folder: Path) -> Path:
    if options.frames:
        raise UserError("frames", "true", "false; reconstructions are PNGs already")
    _check_unset(options, ("seeds", "truncation_psi", "directions", "select"), "reconstruct")
    files, images = _read_given(paths, sampler, options, "reconstruct")
    shown, _, _ = _sheet_cells(options, len(files))
    classes = options.classes
    one_each = isinstance(classes, list) and len(classes) == len(files)

    def chunks() -> Iterator[Tensor]:
        for begin in range(0, len(files), CHUNK):
            part = slice(begin, begin + CHUNK)
            chosen = classes[part] if isinstance(classes, list) and one_each else classes
            yield sampler.reconstruct(to_float(images[part]), chosen)

    names = (f"{index:05d}-{file_name(file.stem)}" for index, file in enumerate(files))
    first = _save_each(save_png, chunks(), (folder / "images" / f"{name}.png" for name in names), shown, options)
    save_png(side_by_side(images[:shown], first, options.rows, options.columns), folder / "reconstructions.png")
    return folder / "reconstructions.png"


def _read_given(paths: Paths, sampler: Sampler, options: SampleOptions, key: str) -> tuple[list[Path], Tensor]:
    """Reads the user's images. With a class for each, none is skipped: the following classes would shift."""
    return read_images(paths, sampler.image_shape, key, skip_unreadable=not isinstance(options.classes, list))


def _save_each(
    save: Callable[[Tensor, Path], None],
    chunks: Iterable[Tensor],
    paths: Iterator[Path],
    shown: int,
    options: SampleOptions,
) -> Tensor:
    """Saves each image or clip of the chunks (values in [-1, 1]) as it is drawn; returns the first `shown` as uint8.

    Without individual files, only those are drawn.
    """
    first: list[Tensor] = []

    def items() -> Iterator[tuple[Tensor, Path]]:
        for chunk in chunks:
            for item in to_uint8(chunk):
                if len(first) < shown:
                    first.append(item)
                yield item, next(paths)

    if options.individual:
        save_many(save, items())
    else:
        deque(islice(items(), shown), maxlen=0)
    return torch.stack(first)


def _sheet_cells(options: SampleOptions, total: int, groups: int = 1) -> tuple[int, int, int]:
    """Returns (images shown, rows, columns) of the sheet, which shows the first `ON_SHEET` images at most."""
    rows, columns = options.rows, options.columns
    shown = min(total, ON_SHEET)
    if total > ON_SHEET:
        shown = min(total, rows * columns) if rows and columns else max(groups, shown - shown % groups)
    if rows is None and columns is None:
        return shown, *grouped_layout(shown, groups)
    return shown, *layout(shown, rows, columns)


def _names(sampler: Sampler, options: SampleOptions, draws: Draws) -> Iterator[str]:
    """`0007`, or `0007-sneaker` for a conditional model, with enough digits to sort; `seed0007` with `seeds`."""
    largest = draws.count - 1 if draws.seeds is None else max(draws.seeds)
    width = max(4, len(str(largest)))
    for index in range(draws.count):
        number = f"{index:0{width}d}" if draws.seeds is None else f"seed{draws.seed_of(index):0{width}d}"
        name = sampler.class_name(options.classes, index)
        yield number if name is None else f"{number}-{file_name(name)}"


def file_name(text: str) -> str:
    """`text` as a part of a file name that is valid on every system."""
    return re.sub(r"[^\w.,+=-]+", "-", text).strip("-")[:60]
