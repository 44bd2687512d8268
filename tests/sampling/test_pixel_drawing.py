"""Samples that are drawn in steps: the process of drawing, and completions and guidance of pixel by pixel."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from genimg.common.errors import UserError
from genimg.sampling.images.sheets import GAP
from genimg.sampling.load import from_checkpoint
from genimg.sampling.output.options import SampleOptions
from genimg.sampling.output.write import write_samples
from genimg.sampling.sampler import Sampler
from tests.stub_models import StubGenerator
from tests.trained import checkpoint

SIDE, TILE = 8, 64  # of an image, and of its tile on a sheet


def pixel_sampler(*words: str) -> Sampler:
    return from_checkpoint(checkpoint("model=pixel_rnn", "model/network=row_gru", *words), "cpu", ())


def step_sampler(*words: str) -> Sampler:
    """Of DRAW with three steps."""
    return from_checkpoint(checkpoint("model=draw", "model.glimpses=3", *words), "cpu", ())


def tile(sheet: Tensor, row: int, column: int) -> Tensor:
    top, left = GAP + row * (TILE + GAP), GAP + column * (TILE + GAP)
    return sheet[top : top + TILE : TILE // SIDE, left : left + TILE : TILE // SIDE]


def grey(path: Path) -> Tensor:
    with Image.open(path) as image:
        return torch.from_numpy(np.array(image.convert("L")))


def test_completions_keep_the_upper_rows(tmp_path: Path) -> None:
    levels = torch.arange(SIDE * SIDE, dtype=torch.uint8).view(SIDE, SIDE)
    for name in ("a.png", "b.png"):
        Image.fromarray(levels.numpy()).save(tmp_path / name)
    options = SampleOptions.defaults(complete=[str(tmp_path / "a.png"), str(tmp_path / "b.png")], known=0.4, futures=3)
    sheet = grey(write_samples(pixel_sampler(), options, tmp_path / "out"))
    assert torch.equal(tile(sheet, 1, 0), levels)
    assert torch.equal(tile(sheet, 1, 1)[:3], levels[:3]) and tile(sheet, 1, 1)[3:].unique().tolist() == [128]
    drawn = [grey(tmp_path / "out" / "images" / f"00001-b-future{future}.png") for future in range(3)]
    for future, one in enumerate(drawn):
        assert torch.equal(one[:3], levels[:3])  # 0.4 of 8 rows
        assert not torch.equal(one[3:], levels[3:])
        assert torch.equal(tile(sheet, 1, 2 + future), one)
    assert not torch.equal(drawn[0], drawn[1])


def test_a_drawing_shows_one_more_row_in_each_frame(tmp_path: Path) -> None:
    options = SampleOptions.defaults(num_images=2, drawing=True)
    sheet = grey(write_samples(pixel_sampler(), options, tmp_path / "out"))
    with Image.open(tmp_path / "out" / "drawing.gif") as gif:
        assert getattr(gif, "n_frames", 1) == SIDE + 1
        for frame in range(SIDE + 1):
            gif.seek(frame)
            shown = torch.from_numpy(np.array(gif.convert("L")))
            for column in range(2):
                assert torch.equal(tile(shown, 0, column)[:frame], tile(sheet, 0, column)[:frame])
                assert tile(shown, 0, column)[frame:].unique().tolist() in ([128], [])


@pytest.mark.parametrize(
    "options",
    [
        {"num_images": 18},  # more than a chunk
        {"num_images": 2, "truncation": 0.5, "temperature": 0.7},
        {"seeds": [5, 9], "classes": [1, {2: 1, 3: 1}]},
        {"num_images": 4, "classes": [1, 2]},  # grouped by class on the sheet
    ],
)
def test_a_drawing_ends_with_the_samples(tmp_path: Path, options: dict[str, Any]) -> None:
    """Whatever changes them; they begin alike, and each step changes some pixels."""
    sampler = step_sampler("model.conditional=true") if "classes" in options else step_sampler()
    torch.manual_seed(0)
    for weight in sampler.model.parameters():
        torch.nn.init.normal_(weight, std=0.5)
    sheet = grey(write_samples(sampler, SampleOptions.defaults(drawing=True, **options), tmp_path))
    with Image.open(tmp_path / "drawing.gif") as gif:
        frames = []
        for frame in range(getattr(gif, "n_frames", 1)):
            gif.seek(frame)
            frames.append(torch.from_numpy(np.array(gif.convert("L"))))
    assert len(frames) == 3 + 1
    assert torch.equal(frames[-1], sheet)
    assert torch.equal(tile(frames[0], 0, 0), tile(frames[0], 0, 1))
    assert all(not torch.equal(before, after) for before, after in pairwise(frames))


@pytest.mark.parametrize("model", ["pixel_rnn", "code_rnn"])
def test_guidance_changes_the_images_of_a_conditional_model(model: str) -> None:
    sampler = from_checkpoint(checkpoint(f"model={model}", "model.conditional=true"), "cpu", ())
    torch.manual_seed(0)
    for weight in sampler.model.parameters():
        torch.nn.init.normal_(weight, std=0.5)
    plain = sampler.sample(4, classes=[1])
    assert torch.equal(sampler.sample(4, classes=[1], guidance=1.0), plain)
    assert not torch.equal(sampler.sample(4, classes=[1], guidance=3.0), plain)


@pytest.mark.parametrize(
    ("sampler", "options", "key"),
    [
        (pixel_sampler, {"guidance": 2.0}, "guidance"),  # it has no classes
        (pixel_sampler, {"guidance": -1.0}, "guidance"),
        (pixel_sampler, {"complete": "missing.png"}, "complete"),
        (pixel_sampler, {"complete": ".", "known": 1.5}, "known"),
        (pixel_sampler, {"complete": ".", "futures": 0}, "futures"),
        (pixel_sampler, {"complete": ".", "select": 0.5}, "select"),
        (pixel_sampler, {"complete": ".", "drawing": True}, "drawing"),
        (step_sampler, {"reconstruct": ".", "drawing": True}, "drawing"),
        (step_sampler, {"project": ".", "drawing": True}, "drawing"),
        (step_sampler, {"complete": "."}, "complete"),
        (step_sampler, {"guidance": 2.0}, "guidance"),
        (lambda: from_checkpoint(checkpoint("model=rnn"), "cpu", ()), {"drawing": True}, "drawing"),
        (lambda: from_checkpoint(checkpoint("model=code_rnn"), "cpu", ()), {"drawing": True}, "drawing"),
        (lambda: from_checkpoint(checkpoint("model=code_rnn"), "cpu", ()), {"guidance": 2.0}, "guidance"),
        (pixel_sampler, {"truncation": 1.0}, "truncation"),
        (pixel_sampler, {"interpolate": 3}, "interpolate"),
        (lambda: pixel_sampler("model.conditional=true"), {"complete": "."}, "classes"),
        (lambda: Sampler(StubGenerator((1, 8, 8)), (1, 8, 8)), {"complete": "."}, "complete"),
        (lambda: Sampler(StubGenerator((1, 8, 8)), (1, 8, 8)), {"drawing": True}, "drawing"),
        (lambda: Sampler(StubGenerator((1, 8, 8)), (1, 8, 8)), {"guidance": 2.0}, "guidance"),
    ],
)
def test_an_option_that_cannot_be_used_is_an_error_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sampler: Any, options: dict[str, Any], key: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Image.new("L", (8, 8)).save("a.png")
    with pytest.raises(UserError) as mistake:
        write_samples(sampler(), SampleOptions.defaults(**options), tmp_path / "out")
    assert mistake.value.key == key
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())
