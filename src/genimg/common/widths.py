"""The rules of model.fit=auto: the width of a GAN, and its batch size, for the time that it trains. Torch-free.

A run of width w should see at least N(w) = IMAGES (w / w0)^2 images, where w0 is the default width of its network. The
time of an image grows about as w^2, so the width grows about as the fourth root of the time. This is a rule of thumb;
docs/models.md, Width for a given time, says what it rests on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from genimg.common.limits import MOST_CHANNELS

IMAGES = 100_000  # images that a run of the default width should see
FACTORS = (0.5, 0.75, 1, 1.5, 2, 3, 4, 6, 8, 12, 16, 24)  # widths to try, relative to the default
BATCH_SIZES = (64, 128, 256, 512)  # on a GPU, which is idle at small batches
CHOICE = "fit.json"  # in the temporary folder of the process that measures: what it chose
SPEEDUP = 1.25  # least gain in images per second for which a batch is doubled: it halves the steps


@dataclass(frozen=True)
class Trial:
    """A width, and what a run of it sees.

    needed: images that it should see.
    speed: images per second; None if it was not measured.
    images: that it sees in its time; None if it was not measured.
    """

    width: int
    needed: float
    speed: float | None = None
    images: float | None = None

    @property
    def enough(self) -> bool:
        return self.images is not None and self.images >= self.needed


def widths_to_try(default: int) -> list[int]:
    """The widths that model.fit=auto may choose, ascending. default: the network's.

    >>> widths_to_try(16)
    [8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384]
    """
    return sorted({min(MOST_CHANNELS, max(1, round(factor * default))) for factor in FACTORS})


def needed_images(width: int, default: int) -> float:
    """N(w): the images that a run of this width should see. default: the network's width w0."""
    return IMAGES * (width / default) ** 2


def choose_width(
    widths: Sequence[int], default: int, speed: Callable[[int], float | None], seen: Callable[[float], float]
) -> tuple[Trial, Trial | None]:
    """Returns the widest width that sees enough images, else the narrowest, and the next wider one if there is one.

    Speed falls with width, so the search goes up or down from the default, and ends where enough images become too few.

    Args:
        widths: ascending; `default` is one of them.
        speed: measures the images per second of a width. None: that width cannot be trained, or there is no time left.
            That of `default` is a number.
        seen: from images per second to the images of the run.
    """

    def attempt(width: int) -> Trial:
        found = speed(width)
        return Trial(width, needed_images(width, default), found, None if found is None else seen(found))

    chosen, next_wider = attempt(default), None
    if chosen.enough:
        for width in widths[widths.index(default) + 1 :]:
            needed = needed_images(width, default)
            next_wider = Trial(width, needed) if (chosen.images or 0) < needed else attempt(width)
            if not next_wider.enough:
                return chosen, next_wider
            chosen, next_wider = next_wider, None
        return chosen, None
    for width in reversed(widths[: widths.index(default)]):
        narrower = attempt(width)
        if narrower.images is not None:
            chosen, next_wider = narrower, chosen
        if chosen.enough:
            break
    return chosen, next_wider


def choose_batch_size(sizes: Sequence[int], speed: Callable[[int], float | None]) -> int:
    """Returns the largest of `sizes` up to which each is at least `SPEEDUP` times as fast as the one before it.

    Args:
        sizes: ascending, each twice the one before.
        speed: measures the images per second of a batch size; None if it cannot be trained.
    """
    chosen, fastest = sizes[0], speed(sizes[0])
    for size in sizes[1:]:
        found = speed(size)
        if found is None or fastest is None or found < SPEEDUP * fastest:
            break
        chosen, fastest = size, found
    return chosen


def describe(chosen: Trial, next_wider: Trial | None, batch_size: int, minutes: float) -> str:
    """Returns one line: the choice, what its run sees, and why no wider network is chosen."""
    text = f"width {chosen.width}, batches of {batch_size}: {chosen.speed or 0:,.0f} images/s"
    text += f", about {_about(chosen.images)} images in {minutes:g} minute{'' if minutes == 1 else 's'}"
    if not chosen.enough:
        return f"{text} (it needs {_about(chosen.needed)}: train longer)"
    if next_wider is None:
        return text
    if next_wider.images is not None:
        reason = f"would see {_about(next_wider.images)}, and needs {_about(next_wider.needed)}"
    else:
        reason = (
            f"needs {_about(next_wider.needed)}" if next_wider.needed > (chosen.images or 0) else "was not measured"
        )
    return f"{text} (width {next_wider.width} {reason})"


def _about(images: float | None) -> str:
    """Three digits, the others zero: 246,357 -> '246,000'."""
    return f"{float(f'{images or 0:.3g}'):,.0f}"
