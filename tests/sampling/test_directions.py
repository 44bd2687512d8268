"""Directions in the space of styles: principal components, eigenvectors of the weights, classes, and sliders."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from genimg.common.errors import UserError
from genimg.sampling.directions import STRENGTHS, Directions
from genimg.sampling.load import from_checkpoint
from genimg.sampling.output.options import SampleOptions
from genimg.sampling.output.write import write_samples
from genimg.sampling.styles import MeanStyles
from tests.sampling.test_styles import gan_of, styled
from tests.sampling.test_writer import files, pixels
from tests.trained import checkpoint

CPU = torch.device("cpu")
OFFSETS = torch.tensor([[0.0, 0, 0, 0], [9, 0, 0, 0], [0, 0, 0, 30]])  # of the styles of three classes


class Linear:
    """w = z * (1, 3, 2, 0) + the offset of the class: a known covariance. The layers read mostly w[2]."""

    latent_dim, num_styles = 4, 1

    def style(self, z: Tensor, labels: Tensor | None) -> Tensor:
        w = z * torch.tensor([1.0, 3, 2, 0])
        return w if labels is None else w + OFFSETS[labels]

    def draw(self, w: Tensor) -> Tensor:
        return w

    def style_weights(self) -> Tensor:
        return torch.tensor([[0.0, 0, 5, 0], [0, 0, -1, 0], [0.1, 0, 0, 0]])


def directions(classes: tuple[str, ...] = ()) -> Directions:
    model = Linear()
    return Directions(model, MeanStyles(model, CPU), classes, CPU)


@pytest.mark.parametrize("classes", [(), ("a", "b", "c")])
def test_principal_components_and_deviations_are_those_within_a_class(classes: tuple[str, ...]) -> None:
    expected = {"pca0": [0, 3, 0, 0], "pca1": [0, 0, 2, 0], "pca2": [1, 0, 0, 0]}  # unit vector * deviation
    for name, vector in expected.items():
        shift = directions(classes).shift({name: 1.0}, "directions")
        torch.testing.assert_close(shift, torch.tensor(vector).float(), atol=0.15, rtol=0)  # 3 / sqrt(2 * 4096) = 0.03


def test_strengths_add_up() -> None:
    one, two = (directions().shift({name: 1.0}, "") for name in ("pca0", "sefa1"))
    torch.testing.assert_close(directions().shift({"pca0": -2.0, "sefa1": 0.5}, ""), -2 * one + 0.5 * two)


def test_the_first_factor_is_what_most_layers_read() -> None:
    first, second = (directions().shift({name: 1.0}, "") for name in ("sefa0", "sefa1"))
    torch.testing.assert_close(first[[0, 1, 3]], torch.zeros(3))
    assert abs(float(first[2]) - 2) < 0.1, "two rows of length 1 read w[2], whose deviation is 2"
    assert abs(float(second[0]) - 1) < 0.1, "and one row reads w[0], however small its weight is"


def test_a_class_is_the_direction_from_the_mean_of_all_classes() -> None:
    shift = directions(("a", "b", "c")).shift({"C": 1.0}, "")
    torch.testing.assert_close(shift, OFFSETS[2] - OFFSETS.mean(0), atol=0.2, rtol=0)


def test_components_of_a_very_long_style_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hostile checkpoint may have few weights and a long style, whose covariance is its square."""
    monkeypatch.setattr(Linear, "style_weights", lambda self: torch.zeros(1, 5000))
    with pytest.raises(UserError, match=r"a style of 5,000 numbers\n.*at most 4,096"):
        directions().shift({"pca0": 1.0}, "directions")


def test_factors_of_a_generator_change_its_layers_most() -> None:
    model = gan_of(styled())
    found = Directions(model, MeanStyles(model, CPU), (), CPU)
    rows = torch.nn.functional.normalize(model.style_weights(), dim=1)
    shifts = torch.stack([found.shift({name: 1.0}, "") for name in found.names(["sefa0-15"])])
    vectors = torch.nn.functional.normalize(shifts, dim=1)
    torch.testing.assert_close(vectors @ vectors.mT, torch.eye(16))
    lengths = (rows @ vectors.mT).norm(dim=0)
    assert (lengths.diff() <= 1e-5).all()
    others = torch.nn.functional.normalize(torch.randn(200, 16, generator=torch.Generator().manual_seed(0)), dim=1)
    assert (rows @ others.mT).norm(dim=0).max() <= lengths[0]


def test_sliders_are_images_of_the_directions_and_their_centre_is_the_sample() -> None:
    sampler = styled("model.conditional=true")
    options: dict[str, Any] = {"seed": 3, "classes": [5], "truncation_psi": 0.8}
    (grid,) = sampler.sliders(["pca0-1", "2"], 1, **options)
    assert grid.shape == (3, len(STRENGTHS), *sampler.image_shape)
    for column in (0, 3, 5):
        strength = STRENGTHS[column]
        image = sampler.sample(1, directions={"pca1": strength}, **options)[0]
        torch.testing.assert_close(grid[1, column], image)
    torch.testing.assert_close(grid[:, 3], sampler.sample(1, **options).expand_as(grid[:, 3]))
    assert (grid[2, 0] - grid[2, -1]).abs().max() > 1e-3
    ends = sampler.interpolate(2, 1, seed=3, directions={"pca0": 2.0})[:, 0]
    torch.testing.assert_close(ends, sampler.sample(2, seed=3, directions={"pca0": 2.0}))


def test_a_sheet_per_image_has_a_row_per_direction(tmp_path: Path) -> None:
    options = SampleOptions.defaults(seeds=[4, 9], sliders=["sefa0-2", "pca0"])
    first = write_samples(styled(), options, tmp_path)
    assert files(tmp_path) == ["sliders/seed0004.png", "sliders/seed0009.png"]
    assert first == tmp_path / "sliders" / "seed0004.png"
    assert pixels(first).shape[1:] == (4 * 66 + 2, 7 * 66 + 2)


def test_mistakes(tmp_path: Path) -> None:
    sampler = styled("model.conditional=true")
    for name in ("pca16", "sefa99", "hue", "pca0-2"):
        with pytest.raises(UserError, match="pca0 to pca15, sefa0 to sefa15, or a class") as caught:
            sampler.stream(1, directions={name: 1.0})
        assert caught.value.key == "directions"
    plain = from_checkpoint(checkpoint("model=vae"), "cpu")
    for key, call in (
        ("directions", lambda: plain.stream(1, directions={"pca0": 1.0})),
        ("sliders", lambda: plain.sliders(["pca0"])),
    ):
        with pytest.raises(UserError, match="no mapping network") as caught:
            call()
        assert caught.value.key == key
    with pytest.raises(UserError, match="not set with sliders"):
        write_samples(sampler, SampleOptions.defaults(sliders=["pca0"], interpolate=4), tmp_path)
    assert not files(tmp_path)
