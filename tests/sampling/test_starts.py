"""Clips that start from the samples of another run."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from genimg.common.errors import UserError
from genimg.config.cross_checks import check_images
from genimg.sampling.images.sheets import to_uint8
from genimg.sampling.load import from_checkpoint
from genimg.sampling.output.options import SampleOptions
from genimg.sampling.output.write import write_samples
from tests.trained import checkpoint


def saved(path: Path, *words: str) -> Path:
    torch.save(checkpoint(*words), path)
    return path


def test_clips_start_from_the_samples_of_another_run(tmp_path: Path) -> None:
    other = saved(tmp_path / "gan.pt", "model=gan")
    sampler = from_checkpoint(checkpoint("model=rnn"), "cpu", ())
    options = SampleOptions.defaults(start=f"run:{other}", num_images=3, seed=5, num_frames=2, frames=True)
    write_samples(sampler, options, tmp_path / "out")
    drawn = to_uint8(from_checkpoint(checkpoint("model=gan"), "cpu", ()).sample(3, seed=5))
    for index in range(3):
        with Image.open(tmp_path / "out" / "sequences" / f"000{index}" / "0000.png") as first:
            assert np.array_equal(np.array(first), drawn[index, 0].numpy())


def test_the_samples_are_fitted_to_the_size_and_the_colours_of_the_clips(tmp_path: Path) -> None:
    other = saved(tmp_path / "gan.pt", "model=gan", "data.image_size=20", "data.channels=3")
    sampler = from_checkpoint(checkpoint("model=rnn"), "cpu", ())
    options = SampleOptions.defaults(start=f"run:{other}", num_images=2, num_frames=2)
    write_samples(sampler, options, tmp_path / "out")
    assert len(list((tmp_path / "out" / "sequences").iterdir())) == 2


def test_a_run_of_sequences_is_no_source_of_start_images(tmp_path: Path) -> None:
    other = saved(tmp_path / "rnn.pt", "model=rnn")
    sampler = from_checkpoint(checkpoint("model=rnn"), "cpu", ())
    with pytest.raises(UserError) as mistake:
        write_samples(sampler, SampleOptions.defaults(start=f"run:{other}"), tmp_path / "out")
    assert mistake.value.key == "start"


def test_the_command_finds_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = saved(tmp_path / "gan.pt", "model=gan")
    monkeypatch.chdir(tmp_path)
    assert check_images({"start": "run:gan.pt", "outputs": "outputs"}) == {"start": f"run:{other}"}
    with pytest.raises(UserError) as mistake:
        check_images({"start": "run:missing", "outputs": "outputs"})
    assert mistake.value.key == "start"
