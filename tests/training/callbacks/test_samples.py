"""The sheet of training data that a run writes at its start."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageSequence

from tests.trained import run_folder

SHORT = ["budget.images=16", "data.batch_size=8", "model.width=4", "logger=none", "callbacks.samples.num_images=4"]


def test_the_sheet_of_the_data_shows_the_training_images_as_they_are_resized_and_cropped(tmp_path: Path) -> None:
    """Each image is red on the left and blue on the right, which cropping removes."""
    (tmp_path / "images").mkdir()
    for number in range(20):
        wide = np.full((32, 64, 3), (255, 0, 0), dtype=np.uint8)
        wide[:, 16:48] = (0, 10 * number, 0)
        wide[:, 48:] = (0, 0, 255)
        Image.fromarray(wide).save(tmp_path / "images" / f"{number:02d}.png")
    words = ["model=vae", "data=image_folder", f"data.root={tmp_path / 'images'}", "data.image_size=16"]
    run = run_folder(tmp_path / "run", *words, *SHORT)
    sheet = np.asarray(Image.open(run / "samples" / "data.png").convert("RGB"))
    greens, counts = np.unique(sheet[(sheet[..., 0] == 0) & (sheet[..., 2] == 0)][:, 1], return_counts=True)
    shown = greens[counts > counts.max() / 2]
    assert len(shown) == 4 and set(shown) <= {10 * number for number in range(20)}
    assert not ((sheet[..., 0] == 255) & (sheet[..., 1] == 0)).any(), "cropped"


def test_clips_are_shown_as_an_animation_too_and_once_in_a_run(tmp_path: Path) -> None:
    words = ["model=rnn", "data=moving_digits", "data.image_size=16", "data.num_frames=4", *SHORT]
    run = run_folder(tmp_path / "run", *words)
    with Image.open(run / "samples" / "data.gif") as animation:
        assert len(list(ImageSequence.Iterator(animation))) == 4
    shown = run / "samples" / "data.png"
    before = shown.read_bytes(), shown.stat().st_mtime_ns
    run_folder(run, *words, f"resume={run}", "budget.images=32")
    assert (shown.read_bytes(), shown.stat().st_mtime_ns) == before
