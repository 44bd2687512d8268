"""`seeds=`: the first image of each seed, alone or among others, and its file."""

from pathlib import Path

import pytest
import torch

from genimg.common.errors import UserError
from genimg.sampling.load import from_checkpoint
from genimg.sampling.output.options import SampleOptions
from genimg.sampling.output.write import write_samples
from genimg.sampling.sampler import Sampler
from genimg.sampling.source import CHUNK
from tests.sampling.test_sampler import NAMES, SHAPE, image_sampler, sequence_sampler
from tests.sampling.test_writer import files, pixels
from tests.stub_models import StubGenerator
from tests.trained import checkpoint


def test_the_image_of_a_seed_is_its_first_image_alone() -> None:
    found = from_checkpoint(checkpoint("model=gan"), "cpu")
    for sampler in (image_sampler(), sequence_sampler(), found):
        images = sampler.sample(seeds=[20, "0-17"])
        assert len(images) == 19 > CHUNK
        for seed, image in zip([20, *range(18)], images, strict=True):
            torch.testing.assert_close(image, sampler.sample(1, seed=seed)[0])


def test_each_seed_is_drawn_in_each_class() -> None:
    sampler = image_sampler(classes=NAMES)
    images = sampler.sample(seeds=[3, 1], classes=["sneaker", "shirt"])
    expected = [sampler.sample(1, seed=seed, classes=[name]) for seed in (3, 1) for name in ("sneaker", "shirt")]
    torch.testing.assert_close(images, torch.cat(expected))


def test_an_interpolation_leads_through_the_seeds() -> None:
    rows = image_sampler().interpolate(1, 4, seeds=[5, 2, 9])
    torch.testing.assert_close(rows[:, 0], image_sampler().sample(seeds=[5, 2, 9]))
    torch.testing.assert_close(rows[:, -1], rows[:, 0].roll(-1, 0))


def test_the_files_carry_the_seeds_and_a_row_of_the_sheet_has_one_seed(tmp_path: Path) -> None:
    sampler = Sampler(StubGenerator(), SHAPE, classes=NAMES)
    options = SampleOptions.defaults(seeds=[12, "3-4"], classes=["sneaker", "shirt"])
    write_samples(sampler, options, tmp_path)
    names = [f"seed{seed:04d}-{name}.png" for seed in (3, 4, 12) for name in ("shirt", "sneaker")]
    assert files(tmp_path / "images") == names
    write_samples(sampler, SampleOptions.defaults(num_images=1, seed=12, classes=["shirt"]), tmp_path / "alone")
    alone = pixels(tmp_path / "alone" / "images" / "0000-shirt.png")
    assert (pixels(tmp_path / "images" / "seed0012-shirt.png").int() - alone.int()).abs().max() <= 1
    assert pixels(tmp_path / "sheet.png").shape == (1, 3 * 66 + 2, 2 * 66 + 2)


def test_mistakes() -> None:
    with pytest.raises(UserError, match="each seed once"):
        image_sampler().stream(seeds=[1, 1])
    with pytest.raises(UserError, match="2 or more images with interpolate"):
        image_sampler().interpolate(1, 4, seeds=[1])
    with pytest.raises(UserError, match="not set with start"):
        sequence_sampler().stream(1, seeds=[1], start=torch.zeros(1, *SHAPE))
