"""Mixtures of classes: weights, their names, and images between those of the classes."""

from typing import Any

import pytest
import torch

from genimg.common.errors import UserError
from genimg.sampling.classes import ClassChoice
from genimg.sampling.load import from_checkpoint
from genimg.sampling.sampler import Sampler
from tests.sampling.test_sampler import SHAPE, image_sampler, sequence_sampler
from tests.stub_models import StubGenerator
from tests.trained import checkpoint

NAMES = ("cat", "dog", "fox")
CPU = torch.device("cpu")


def test_weights_are_divided_by_their_sum_and_drawn_in_turn() -> None:
    choice = ClassChoice([{"cat": 3, "Dog": 1}, "fox", {2: 0.5}], NAMES)
    expected = torch.tensor([[0.75, 0.25, 0], [0, 0, 1], [0, 0, 1]])
    torch.testing.assert_close(choice.labels(1, 6, CPU), expected.repeat(2, 1)[1:], rtol=0, atol=0)
    assert [choice.name(position) for position in (0, 1, 3)] == ["cat0.75+dog0.25", "fox", "cat0.75+dog0.25"]
    torch.testing.assert_close(ClassChoice(["dog", 2], NAMES).labels(0, 3, CPU), torch.tensor([1, 2, 1]))


@pytest.mark.parametrize("model", ["gan", "vae", "draw"])
def test_a_mixture_of_one_class_is_the_class_and_others_are_between(model: str) -> None:
    sampler = from_checkpoint(checkpoint(f"model={model}", "model.conditional=true"), "cpu")
    alone = sampler.sample(3, classes=[3, 7])
    torch.testing.assert_close(sampler.sample(3, classes=[{3: 2.0}, {7: 1.0}]), alone)
    least = sampler.sample(3, classes=[{3: 1.0, 7: 1e-3}])
    half = sampler.sample(3, classes=[{3: 1.0, 7: 1.0}])
    three = sampler.sample(3, classes=[3])
    assert 0 < (least - three).abs().max() < 0.05 * (half - three).abs().max() + 1e-3


def test_the_weights_change_gradually_along_an_interpolation() -> None:
    sampler = from_checkpoint(checkpoint("model=gan", "model.conditional=true"), "cpu")
    rows = sampler.interpolate(2, 4, classes=[{3: 1}, {7: 1}], temperature=0.0)
    expected = [sampler.sample(1, classes=[{3: 1 - t, 7: t}], temperature=0.0) for t in (0.25, 0.5, 0.75)]
    torch.testing.assert_close(rows[0, 1:4], torch.cat(expected))
    abrupt = sampler.interpolate(2, 4, classes=[3, 7], temperature=0.0)
    torch.testing.assert_close(abrupt[0, 1], abrupt[0, 0])


def test_the_mean_style_of_a_mixture_is_the_mean_of_the_means() -> None:
    sampler = from_checkpoint(checkpoint("model=gan", "model.conditional=true"), "cpu")
    mixed = sampler.sample(20, classes=[{3: 0.3, 7: 0.7}], truncation_psi=0.0)
    torch.testing.assert_close(mixed, mixed[:1].expand_as(mixed))
    same = sampler.sample(2, classes=[{3: 1}, {7: 1}], truncation_psi=0.5)
    torch.testing.assert_close(same, sampler.sample(2, classes=[3, 7], truncation_psi=0.5))


def test_mistakes() -> None:
    sampler = Sampler(StubGenerator(), SHAPE, classes=NAMES)
    choices: list[tuple[Any, str]] = [
        ([{"cat": 1, "dgo": 1}], "did you mean dog"),
        ([{"cat": 0, "dog": 1}], "a number above 0"),
        ([{"cat": "much"}], "a number above 0"),
        ([{}], "at least one class"),
        ([None], "one of cat, dog, fox"),
        ([["cat"]], "one of cat, dog, fox"),
        ([{"cat": 1, "dog": 1}], "one class for each image"),  # this model indexes rows by label
    ]
    for classes, message in choices:
        with pytest.raises(UserError, match=message) as caught:
            sampler.stream(1, classes=classes)
        assert caught.value.key == "classes"
    with pytest.raises(UserError, match="unconditional"):
        image_sampler().stream(1, classes=[{"cat": 1, "dog": 1}])
    with pytest.raises(UserError, match="classes"):
        sequence_sampler(classes=NAMES).stream(1, classes=[{"cat": 1, "dog": 1}])
