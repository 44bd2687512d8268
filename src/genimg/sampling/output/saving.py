"""The files of the samples: their names, and the part of them that a sheet shows."""

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor

from genimg.sampling.images.files import save_many
from genimg.sampling.images.sheets import check_sheet, grouped_layout, layout, to_uint8
from genimg.sampling.output.options import SampleOptions
from genimg.sampling.source import Source

ON_SHEET = 100  # images shown on the sheet


def save_each(
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


def sheet_cells(options: SampleOptions, total: int, shape: Sequence[int], groups: int = 1) -> tuple[int, int, int]:
    """Returns (images shown, rows, columns) of the sheet, which shows the first `ON_SHEET` images at most.

    Raises:
        UserError: if a sheet of images of this shape exceeds the free memory.
    """
    rows, columns = options.rows, options.columns
    shown = min(total, ON_SHEET)
    if total > ON_SHEET:
        shown = min(total, rows * columns) if rows and columns else max(groups, shown - shown % groups)
    given = grouped_layout(shown, groups) if rows is None and columns is None else layout(shown, rows, columns)
    check_sheet(*given, shape)
    return shown, *given


def names(source: Source) -> Iterator[str]:
    """`0007`, or `0007-sneaker` for a conditional model, with enough digits to sort; `seed0007` with `seeds`."""
    draws = source.draws
    largest = draws.count - 1 if draws.seeds is None else max(draws.seeds)
    width = max(4, len(str(largest)))
    for index in range(draws.count):
        number = f"{index:0{width}d}" if draws.seeds is None else f"seed{draws.seed_of(index):0{width}d}"
        name = source.classes.name(index)
        yield number if name is None else f"{number}-{file_name(name)}"


def file_name(text: str) -> str:
    """`text` as a part of a file name that is valid on every system."""
    return re.sub(r"[^\w.,+=-]+", "-", text).strip("-")[:60]
