"""Models that continue several given frames: what a sample starts from."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from genimg.common.errors import UserError
from genimg.sampling.load import from_checkpoint
from genimg.sampling.output.options import SampleOptions
from genimg.sampling.output.write import write_samples
from genimg.sampling.sampler import Sampler
from tests.trained import checkpoint

WORDS = ["data=moving_digits", "data.num_frames=5", "data.given_frames=3"]


def frames(first: int, count: int) -> list[Image.Image]:
    return [Image.new("L", (8, 8), 20 * number) for number in range(first, first + count)]


def gif(path: Path, first: int = 0, count: int = 4) -> Path:
    head, *others = frames(first, count)
    head.save(path, save_all=True, append_images=others)
    return path


@pytest.fixture(scope="module", params=["convlstm", "rnn"])
def sampler(request: pytest.FixtureRequest) -> Sampler:
    return from_checkpoint(checkpoint(f"model={request.param}", *WORDS), "cpu", ())


def test_half_of_a_clip_is_given_to_a_model_without_latents() -> None:
    of = {
        m: checkpoint(f"model={m}", "data=moving_digits")["config"]["data"]["given_frames"] for m in ("rnn", "phydnet")
    }
    assert of == {"rnn": 1, "phydnet": 8}


def test_clips_begin_with_the_first_frames_of_files_and_folders(sampler: Sampler, tmp_path: Path) -> None:
    (tmp_path / "in" / "walk").mkdir(parents=True)
    gif(tmp_path / "in" / "a.gif")
    for number, frame in enumerate(frames(3, 3)):
        frame.save(tmp_path / "in" / "walk" / f"{number}.png")
    options = SampleOptions.defaults(start=str(tmp_path / "in"), num_frames=4, frames=True)
    write_samples(sampler, options, tmp_path / "out")
    for clip, first in enumerate((0, 3)):
        folder = tmp_path / "out" / "sequences" / f"000{clip}"
        assert len(list(folder.iterdir())) == 4
        for time in range(3):
            with Image.open(folder / f"000{time}.png") as image:
                assert np.array(image).mean() == 20 * (first + time)


@pytest.mark.parametrize(
    ("given", "hint"), [("short.gif", "fewer than 3"), ("one.png", "not one image"), ("missing.gif", "no such file")]
)
def test_a_start_that_is_too_short_is_one_message(sampler: Sampler, given: str, hint: str, tmp_path: Path) -> None:
    gif(tmp_path / "short.gif", count=2)
    frames(0, 1)[0].save(tmp_path / "one.png")
    with pytest.raises(UserError) as mistake:
        write_samples(sampler, SampleOptions.defaults(start=str(tmp_path / given)), tmp_path / "out")
    assert mistake.value.key == "start" and hint in str(mistake.value)
    assert not (tmp_path / "out").exists()


def test_short_clips_of_a_folder_are_skipped(
    sampler: Sampler, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "in").mkdir()
    gif(tmp_path / "in" / "good.gif")
    gif(tmp_path / "in" / "short.gif", count=2)
    write_samples(sampler, SampleOptions.defaults(start=str(tmp_path / "in")), tmp_path / "out")
    assert len(list((tmp_path / "out" / "sequences").iterdir())) == 1
    assert "1 of 2 clips are skipped" in caplog.text


def test_samples_of_images_are_no_start(sampler: Sampler, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="3 given frames"):
        write_samples(sampler, SampleOptions.defaults(start="run:anything"), tmp_path / "out")


def test_a_sequence_is_longer_than_its_given_frames(sampler: Sampler) -> None:
    with pytest.raises(UserError, match="4 or more"):
        sampler.sample(1, num_frames=3)
    with pytest.raises(UserError, match="clips of shape"):
        sampler.sample(1, start=torch.zeros(1, 1, 8, 8))
