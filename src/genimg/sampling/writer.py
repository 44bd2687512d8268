"""Samples as files in a folder: a sheet to look at, and each image or animation by itself."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genimg.common.errors import UserError
from genimg.sampling.class_names import Classes, class_numbers
from genimg.sampling.images.files import FRAME_MS, save_frames, save_gif, save_many, save_png
from genimg.sampling.images.sheets import (
    contact_sheet,
    grouped_layout,
    layout,
    sheet_over_time,
    side_by_side,
    to_float,
    to_uint8,
)
from genimg.sampling.inputs import Paths, find_readable, read_image
from genimg.sampling.sampler import CHUNK, Sampler

ON_SHEET = 100  # images that the sheet shows of a longer stream
CLIPS_ON_SHEET = 20


@dataclass(frozen=True)
class SampleOptions:
    """What to draw: the keys of configs/sample.yaml that say so, explained there."""

    num_images: int = 10
    seed: int = 0
    classes: Classes | None = None
    truncation: float | None = None
    temperature: float = 1.0
    rows: int | None = None
    columns: int | None = None
    interpolate: int | None = None
    reconstruct: Paths | None = None
    start: Paths | None = None
    num_frames: int | None = None
    futures: int = 1
    fps: float = 1000 / FRAME_MS
    frames: bool = False
    individual: bool = True

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> SampleOptions:
        return cls(**{field.name: config[field.name] for field in fields(cls) if field.name in config})

    @property
    def time(self) -> dict[str, Any]:
        """What `Sampler.stream` takes for sequences."""
        return {"num_frames": self.num_frames, "futures": self.futures}

    @property
    def frame_ms(self) -> int:
        """How long a frame of a GIF stays, in milliseconds."""
        return round(1000 / self.fps)

    @property
    def noise(self) -> dict[str, Any]:
        """What `Sampler.stream` and `Sampler.interpolate` both take."""
        return {name: getattr(self, name) for name in ("seed", "classes", "temperature", "truncation")}


def write_samples(sampler: Sampler, options: SampleOptions, folder: Path) -> Path:
    """Draws what the options say into `folder`, and returns the file to look at first.

    A model of stills: sheet.png, images/ with a PNG each, and interpolation.png and .gif where asked for.
    A sequence model: animation.gif (all side by side), sheet.png (a row a clip), sequences/ with a GIF each.
    With `reconstruct`: reconstructions.png, each original beside what the model makes of it, and images/.
    With `frames`: beside a GIF of sequences/, and that of an interpolation, each of its frames as a PNG, in a folder
    of the GIF's name.
    Files sorted by name are in the order drawn.

    Raises:
        UserError: for what this model cannot do, before anything is written.
    """
    if options.reconstruct is not None:
        return _write_reconstructions(sampler, options, options.reconstruct, folder)
    if sampler.makes_sequences:
        return _write_sequences(sampler, options, folder)
    return _write_stills(sampler, options, folder)


def _write_stills(sampler: Sampler, options: SampleOptions, folder: Path) -> Path:
    if options.start is not None:
        raise UserError("start", options.start, "null: this model makes stills", "sequences come from model=rnn")
    if options.frames and options.interpolate is None:
        raise UserError("frames", "true", "false: images are PNGs already", hint="interpolate=8 makes a GIF")
    chunks = sampler.stream(options.num_images, **options.noise, **options.time)
    shown, rows, columns = _cells(options, options.num_images, _turns(sampler, options))
    if options.interpolate is not None and options.num_images > ON_SHEET:
        raise UserError("num_images", options.num_images, f"2 to {ON_SHEET} with interpolate")
    if options.interpolate is not None:
        ways = to_uint8(sampler.interpolate(options.num_images, options.interpolate, **options.noise))
        strips = contact_sheet(ways.flatten(0, 1), rows=len(ways), columns=ways.shape[1])
        save_png(strips, folder / "interpolation.png")
        ring = ways[:, :-1].flatten(0, 1)  # the last image of a row is the first of the next
        save_gif(contact_sheet(ring.unsqueeze(0)), folder / "interpolation.gif", options.frame_ms)
        if options.frames:
            save_frames(ring, folder / "interpolation")
    names = _names(sampler, options, options.num_images)
    first = _write_each(save_png, chunks, (folder / "images" / f"{name}.png" for name in names), shown, options)
    order = sampler.grouped(options.classes, shown)
    save_png(contact_sheet(first[order], rows, columns), folder / "sheet.png")
    return folder / "sheet.png"


def _write_sequences(sampler: Sampler, options: SampleOptions, folder: Path) -> Path:
    if options.interpolate is not None:
        raise UserError("interpolate", options.interpolate, "null: this model makes sequences", "try futures=4")
    if options.frames and not options.individual:
        raise UserError("frames", "true", "individual=true beside it: they are those of the GIFs in sequences")
    start, count = None, options.num_images
    if options.start is not None:
        files = _given(options.start, sampler, options, "start")
        images = [read_image(file, sampler.image_shape, "start") for file in files]
        start, count = to_float(torch.stack(images)), len(files)
    chunks = sampler.stream(count, start=start, **options.noise, **options.time)
    if options.futures > 1 and options.rows is None and options.columns is None:
        rows, columns = min(count, max(1, ON_SHEET // options.futures)), options.futures  # a row a start
        shown = rows * columns
    else:
        shown, rows, columns = _cells(options, count * options.futures)
    names = (
        f"{name}-future{future}" if options.futures > 1 else name
        for name in _names(sampler, options, count)
        for future in range(options.futures)
    )
    save = partial(_save_clip, options=options)
    first = _write_each(save, chunks, (folder / "sequences" / f"{name}.gif" for name in names), shown, options)
    save_png(sheet_over_time(first[:CLIPS_ON_SHEET]), folder / "sheet.png")
    save_gif(contact_sheet(first, rows, columns), folder / "animation.gif", options.frame_ms)
    return folder / "animation.gif"


def _save_clip(clip: Tensor, path: Path, options: SampleOptions) -> None:
    save_gif(clip, path, options.frame_ms)
    if options.frames:
        save_frames(clip, path.with_suffix(""))


def _write_reconstructions(sampler: Sampler, options: SampleOptions, paths: Paths, folder: Path) -> Path:
    if options.frames:
        raise UserError("frames", "true", "false: reconstructions are PNGs already")
    files = _given(paths, sampler, options, "reconstruct")
    shown, _, _ = _cells(options, len(files))
    classes = options.classes
    one_each = classes if isinstance(classes, list) and len(classes) == len(files) else None
    originals: list[Tensor] = []

    def chunks() -> Iterator[Tensor]:
        for begin in range(0, len(files), CHUNK):
            part = slice(begin, begin + CHUNK)
            read = torch.stack([read_image(file, sampler.image_shape, "reconstruct") for file in files[part]])
            originals.extend(read[: shown - len(originals)])
            yield sampler.reconstruct(to_float(read), classes if one_each is None else one_each[part])

    names = (f"{index:05d}-{plain(file.stem)}" for index, file in enumerate(files))
    first = _write_each(save_png, chunks(), (folder / "images" / f"{name}.png" for name in names), shown, options)
    pairs = side_by_side(torch.stack(originals), first, options.rows, options.columns)
    save_png(pairs, folder / "reconstructions.png")
    return folder / "reconstructions.png"


def _given(paths: Paths, sampler: Sampler, options: SampleOptions, key: str) -> list[Path]:
    """The user's images. With a class for each none is left out: the classes behind it would move to others."""
    return find_readable(paths, sampler.image_shape, key, leave_out=not isinstance(options.classes, list))


def _write_each(
    save: Callable[[Tensor, Path], None],
    chunks: Iterable[Tensor],
    paths: Iterator[Path],
    shown: int,
    options: SampleOptions,
) -> Tensor:
    """Saves each image or clip of the chunks (in [-1, 1]) as it comes; returns the first `shown`, uint8.

    Without individual files, no more than those are drawn.
    """
    first: list[Tensor] = []

    def passing() -> Iterator[tuple[Tensor, Path]]:
        for chunk in chunks:
            for item in to_uint8(chunk):
                if len(first) < shown:
                    first.append(item)
                yield item, next(paths)

    if options.individual:
        save_many(save, passing())
    else:
        deque(islice(passing(), shown), maxlen=0)
    return torch.stack(first)


def _cells(options: SampleOptions, total: int, groups: int = 1) -> tuple[int, int, int]:
    """(images shown, rows, columns) of the sheet: all of up to ON_SHEET images, else the first."""
    rows, columns = options.rows, options.columns
    shown = min(total, ON_SHEET)
    if total > ON_SHEET:
        shown = min(total, rows * columns) if rows and columns else max(groups, shown - shown % groups)
    if rows is None and columns is None:
        return shown, *grouped_layout(shown, groups)
    return shown, *layout(shown, rows, columns)


def _turns(sampler: Sampler, options: SampleOptions) -> int:
    """How many classes take turns; 1 for an unconditional model."""
    return len(class_numbers(options.classes, sampler.classes)) if sampler.classes else 1


def _names(sampler: Sampler, options: SampleOptions, count: int) -> Iterator[str]:
    """`0007`, or `0007-sneaker` where there are classes; wide enough to sort."""
    width = max(4, len(str(count - 1)))
    labels = sampler.labels(options.classes, count)
    for index in range(count):
        name = "" if labels is None else f"-{plain(sampler.classes[int(labels[index])])}"
        yield f"{index:0{width}d}{name}"


def plain(text: str) -> str:
    """`text` as part of a file's name on any system."""
    return re.sub(r"[^\w.,+=-]+", "-", text).strip("-")[:60]
