"""What the images of a page show, in words, for those who hear it."""

from __future__ import annotations

from genimg.report.run import Run


def of_moment(run: Run, images_seen: int) -> str:
    """A sheet drawn on the way: `64 samples of 32 x 32 at 20,032 images seen`, as far as the run tells."""
    callbacks = run.config.get("callbacks")
    samples = callbacks.get("samples") if isinstance(callbacks, dict) else None
    key = "num_clips" if run.counts == "clips" else "num_images"
    count = samples.get(key) if isinstance(samples, dict) else None
    return f"{_samples(run, count)} at {images_seen:,} {run.counts} seen"


def of_image(run: Run, title: str) -> str:
    """One of the run's `images`."""
    if title in ("Samples", "Animations"):
        drawn = [*run.folder.final.glob("images/*.png"), *run.folder.final.glob("sequences/*.gif")]
        return f"{_samples(run, len(drawn))}, drawn at the end"
    size = _size(run)
    return f"{title}, {size} each" if size else title


def _samples(run: Run, count: object) -> str:
    number = f"{count:,} " if isinstance(count, int) and count > 0 else ""
    what, size = "clips" if run.counts == "clips" else "samples", _size(run)
    return f"{number}{what}{f' of {size}' if size else ''}"


def _size(run: Run) -> str:
    """`32 x 32`, height by width; empty where the run does not tell."""
    size = run.data.get("image_size")
    sides = size if isinstance(size, list) else [size, size]
    return " x ".join(map(str, sides)) if all(isinstance(side, int) for side in sides) else ""
