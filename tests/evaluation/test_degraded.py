"""The metrics of real images that are degraded gradually: each changes if and only if it should."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import Tensor

from genimg.evaluation.features.choose import Request, extractor
from genimg.evaluation.features.classifier import classifier
from genimg.evaluation.figure import Figure
from genimg.evaluation.sample_quality import reference, sample_quality
from tests.evaluation.test_figures import CPU, by_name

COUNT = 400  # of each part; the rest is the training set
Measure = Callable[[Tensor], dict[str, Figure]]


def digits() -> tuple[Tensor, Tensor]:
    """1,797 of them in a fixed order: uint8 (N, 1, 8, 8), labels int64 (N,)."""
    found: Any = load_digits()
    order = torch.randperm(len(found.target), generator=torch.Generator().manual_seed(0))
    images = (torch.from_numpy(found.images) * 255 / 16).round().to(torch.uint8)
    return images[order, None], torch.from_numpy(found.target)[order]


IMAGES, LABELS = digits()
TEST, HELD_OUT, TRAIN = IMAGES[:COUNT], IMAGES[COUNT : 2 * COUNT], IMAGES[2 * COUNT :]


@pytest.fixture(scope="module", params=["random", "classifier"])
def measure(request: pytest.FixtureRequest) -> Measure:
    """Computes the metrics of images in place of samples; the floor is that of `HELD_OUT`."""
    train, test = (TRAIN, LABELS[2 * COUNT :]), (TEST, LABELS[:COUNT])
    if request.param == "classifier":
        found = classifier(train, test, 10, None, CPU, min_steps=150)
    else:
        found = extractor(request.param, Request(None, train, test, torch.arange(0), 10, None, None, CPU), trust=())
    real = reference(*(found(part, CPU) for part in (TEST, HELD_OUT, TRAIN)))
    return lambda images: by_name(sample_quality(real, found(images, CPU), found, None))


def noise(levels: float) -> Tensor:
    drawn = torch.randn(HELD_OUT.shape, generator=torch.Generator().manual_seed(1))
    return (HELD_OUT + levels * drawn).round().clamp(0, 255).to(torch.uint8)


def blur(share: float) -> Tensor:
    """Interpolates towards the mean of 3 x 3 pixels."""
    mean = F.avg_pool2d(F.pad(HELD_OUT.float(), (1, 1, 1, 1), mode="replicate"), 3, 1)
    return HELD_OUT.float().lerp(mean, share).round().to(torch.uint8)


def shift(pixels: int) -> Tensor:
    return HELD_OUT.roll(pixels, dims=3)


def dropped(classes: int) -> Tensor:
    """As many images without the first classes."""
    return IMAGES[classes <= LABELS].roll(COUNT, dims=0)[:COUNT]


def repeated(times: int) -> Tensor:
    return HELD_OUT[: COUNT // times].repeat(times, 1, 1, 1)


DISTANCES = ["frechet distance", "kernel distance"]
DEGRADED = {
    "noise": ([noise(levels) for levels in (32, 64, 128)], DISTANCES, ["precision", "density", "coverage"]),
    "blur": ([blur(share) for share in (0.3, 0.6, 1.0)], DISTANCES, ["recall", "coverage"]),
    "shift": ([shift(pixels) for pixels in (1, 2)], DISTANCES, ["precision", "coverage"]),
    "dropped classes": ([dropped(classes) for classes in (2, 5, 8)], DISTANCES, ["recall", "coverage"]),
    "duplicates": ([repeated(times) for times in (4, 10, 20)], DISTANCES, ["recall", "coverage"]),
}


@pytest.mark.parametrize("way", DEGRADED)
def test_metrics_get_worse_as_images_get_worse(measure: Measure, way: str) -> None:
    worse, rising, falling = DEGRADED[way]
    found = [measure(images) for images in (HELD_OUT, *worse)]
    for name in rising:
        assert all(more[name].value > less[name].value for less, more in pairwise(found)), name
    for name in falling:
        values = [one[name].value for one in found]
        assert all(more > less or more == less == 0 for more, less in pairwise(values)), name
    if way in ("dropped classes", "duplicates"):  # each image is a real one; at least 100 differ at the first degree
        assert found[1]["precision"].value > found[0]["precision"].value - 0.07  # three standard errors
    if way == "dropped classes" and "class coverage" in found[0]:
        assert [one["class coverage"].value for one in found] == [1.0, 0.8, 0.5, 0.2]


def test_real_images_are_at_the_floor_and_copies_are_detected(measure: Measure) -> None:
    real, copies = measure(HELD_OUT), measure(TRAIN[:COUNT])
    assert all(figure.value == figure.floor for figure in real.values())
    assert real["copying"].value == pytest.approx(0.5, abs=0.06)
    assert copies["copying"].value > 0.98
