"""The metrics of an evaluation against their definitions, and on degraded sets."""

import json
import math
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from genimg.evaluation.features.extractor import Extractor
from genimg.evaluation.figure import Figure, shown
from genimg.evaluation.reconstruction import reconstruction_figures
from genimg.evaluation.results import Evaluation, parse_evaluation, write_evaluation
from genimg.evaluation.sample_quality import class_coverage, class_entropy, reference, sample_quality
from genimg.evaluation.sequences import clip_features, clip_frechet, diversity, future_figures

CPU = torch.device("cpu")


class Pixels(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images.float().flatten(1)


def pixels() -> Extractor:
    return Extractor("pixels", Pixels(), "none")


def some_images(count: int, seed: int, side: int = 16) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 1, side, side), generator=generator, dtype=torch.uint8)


def by_name(figures: list[Figure]) -> dict[str, Figure]:
    return {figure.name: figure for figure in figures}


def vectors(count: int, seed: int) -> Tensor:
    """Ten clusters in eight dimensions, one per class."""
    generator = torch.Generator().manual_seed(seed)
    centres = 6 * torch.randn(10, 8, generator=torch.Generator().manual_seed(99))
    return centres[torch.arange(count) % 10] + torch.randn(count, 8, generator=generator)


class Nearest(nn.Module):
    """Logits: the negative distance to each cluster."""

    def __init__(self) -> None:
        super().__init__()
        self.centres = nn.Parameter(6 * torch.randn(10, 8, generator=torch.Generator().manual_seed(99)))

    def forward(self, features: Tensor) -> Tensor:
        return -torch.cdist(features, self.centres)


def measured(fake: Tensor, labels: Tensor | None = None, name: str = "classifier") -> dict[str, Figure]:
    extractor = Extractor(name, nn.Identity(), "none", head=Nearest())
    real = reference(vectors(600, 0), vectors(600, 1), vectors(1200, 2))
    return by_name(sample_quality(real, fake, extractor, labels))


def test_new_images_of_the_same_distribution_are_at_the_floor() -> None:
    found = measured(vectors(600, 3), labels=torch.arange(600) % 10)
    assert found["frechet distance"].value == pytest.approx(found["frechet distance"].floor or 0, abs=0.5)
    assert 0.4 < found["copying"].value < 0.6
    assert found["class coverage"].value == 1 and found["class entropy"].value > 0.99
    assert found["class accuracy"].value > 0.99
    assert {figure.n for figure in found.values()} == {600}


@pytest.mark.parametrize(
    ("worse", "lower", "higher"),
    [
        ("noise", ["precision", "density", "coverage"], ["frechet distance", "kernel distance"]),
        ("shift", ["precision", "density", "coverage"], ["frechet distance", "kernel distance"]),
        ("five classes", ["recall", "coverage", "class coverage", "class entropy"], ["frechet distance"]),
        ("duplicates", ["recall", "coverage"], ["frechet distance"]),
        ("copies", [], ["copying"]),
    ],
)
def test_degraded_sets_are_detected(worse: str, lower: list[str], higher: list[str]) -> None:
    good, fake = measured(vectors(600, 3)), vectors(600, 3)
    if worse == "noise":
        fake = fake + 3 * torch.randn(fake.shape, generator=torch.Generator().manual_seed(5))
    elif worse == "shift":
        fake = fake + 2
    elif worse == "five classes":
        fake = fake[torch.arange(600) % 10 < 5].repeat(2, 1) + 0.01 * vectors(600, 4)
    elif worse == "duplicates":
        fake = fake[:20].repeat(30, 1)
    else:
        fake = vectors(1200, 2)[:600]
    bad = measured(fake)
    assert all(bad[name].value < good[name].value - 0.02 for name in lower)
    assert all(bad[name].value > good[name].value + 0.02 for name in higher)


def test_only_distances_of_inception_features_are_called_fid_and_kid() -> None:
    assert {"FID", "KID"} <= measured(vectors(600, 3), name="inception").keys()
    assert not {"FID", "KID"} & measured(vectors(600, 3)).keys()


def test_class_coverage_and_entropy_of_known_frequencies() -> None:
    real = torch.arange(100) % 4
    fake = torch.tensor([0] * 97 + [1] * 2 + [2])
    assert class_coverage(fake, real, 4) == 0.25  # a tenth of a quarter is 2.5 %: only class 0 has it
    assert class_entropy(torch.tensor([0, 0, 1, 1]), 4) == pytest.approx(0.5)
    assert class_entropy(torch.zeros(5, dtype=torch.long), 4) == 0


def clips(count: int, frames: int = 4) -> Tensor:
    """A square that moves to the right."""
    found = torch.zeros(count, frames, 1, 12, 12, dtype=torch.uint8)
    for clip in range(count):
        for t in range(frames):
            found[clip, t, 0, clip % 8 : clip % 8 + 3, 2 * t : 2 * t + 3] = 255
    return found


def drawn(made: Tensor) -> Iterator[Tensor]:
    yield from made.split(3)


def test_a_perfect_future_and_a_repeated_first_frame() -> None:
    truth = clips(5)
    still = truth[:, :1].expand_as(truth)
    found = by_name(
        future_figures(truth, truth.flip(0), drawn(torch.stack([truth, still], dim=1)), 2, pixels(), CPU, None)
    )
    best, mean = found["mse, best"], found["mse, mean"]
    assert best.value == 0 and best.by_horizon == (0, 0, 0)
    assert mean.floor is not None and mean.value == pytest.approx(mean.floor / 2)
    assert mean.floor_by_horizon[0] == pytest.approx(2 * 6 / 144, rel=1e-5)  # two columns of three pixels each, twice
    assert found["mse summed, mean"].value == pytest.approx(mean.value * 144)
    assert found["diversity"].value == pytest.approx(mean.floor)
    assert found["ssim, best"].value == pytest.approx(1)
    content = found["cosine distance of features, best"]
    assert content.value == pytest.approx(0, abs=1e-12)
    content = found["cosine distance of features, mean"]
    assert content.floor_by_horizon == pytest.approx((2 / 3, 1, 1), rel=1e-5)  # a column of three is shared, then none


def test_the_floor_of_the_best_future_is_the_best_of_as_many_guesses() -> None:
    """Grey levels: the error of a guess is the squared difference of two levels."""
    truth, unrelated = (
        torch.tensor(levels, dtype=torch.uint8).view(-1, 1, 1, 1, 1).expand(-1, 3, 1, 4, 4)
        for levels in ([0, 51, 102, 255], [0, 0, 51, 255])
    )
    made = truth.flip(0)[:, None].expand(-1, 2, -1, -1, -1, -1)
    found = by_name(future_figures(truth, unrelated, iter([made[:1], made[1:]]), 2, pixels(), CPU, None))
    levels = [[0.0, 0.2], [0.0, 1.0], [0.2, 0.0], [1.0, 0.0]]  # of the two guesses of each clip
    best = [min((a - true) ** 2 for a in both) for both, true in zip(levels, (0.0, 0.2, 0.4, 1.0), strict=True)]
    assert found["mse, best"].floor == pytest.approx(sum(best) / 4)
    assert found["mse, best"].floor_by_horizon == pytest.approx([sum(best) / 4] * 2, rel=1e-5)
    assert found["mse, mean"].floor == 0  # nothing moves: the first frame repeated is right
    assert "floor: best of 2" in found["mse, best"].note


def test_frames_have_the_metrics_of_images() -> None:
    """A frame and its prediction have the same metrics as an image and its reconstruction."""
    truth = torch.stack([some_images(2, seed, 176) for seed in range(3)])  # (3 clips, 2 frames, 1, 176, 176)
    made = truth.flip(0)

    def darker(a: Tensor, b: Tensor) -> Tensor:  # replaces LPIPS
        return (a.float().mean((1, 2, 3)) - b.float().mean((1, 2, 3))).abs()

    found = by_name(future_figures(truth, truth.flip(0), drawn(made[:, None]), 1, pixels(), CPU, darker))
    for name in ("ms-ssim", "lpips", "ssim", "psnr", "mse", "cosine distance of features"):
        same = by_name(reconstruction_figures(truth[:, 1], lambda _, where: made[where, 1], pixels(), CPU, darker))[
            name
        ]
        for which in ("mean", "best"):
            of_frames = found[f"{name}, {which}"]
            assert of_frames.value == pytest.approx(same.value, rel=1e-5) and len(of_frames.by_horizon) == 1
            assert (of_frames.kind, of_frames.better, of_frames.unit) == (same.kind, same.better, same.unit)
    held = reconstruction_figures(truth[:, 1], lambda _, where: truth[where, 0], pixels(), CPU, darker)
    assert found["lpips, mean"].floor == pytest.approx(by_name(held)["lpips"].value, rel=1e-5)
    small = by_name(future_figures(clips(5), clips(5), drawn(clips(5)[:, None]), 1, pixels(), CPU, None))
    assert not {"ms-ssim, mean", "lpips, mean"} & small.keys()


def test_diversity_of_one_future_and_of_equal_futures_is_zero() -> None:
    truth = clips(3)
    assert diversity(truth[:, None]).abs().max() == 0
    assert diversity(torch.stack([truth, truth, truth], dim=1)).abs().max() == 0


def test_the_floor_of_diversity_is_between_clips_far_apart() -> None:
    truth = torch.tensor([0, 51, 102, 255], dtype=torch.uint8).view(4, 1, 1, 1, 1).expand(4, 3, 1, 4, 4)
    found = by_name(future_figures(truth, truth, iter([truth[:1, None], truth[1:, None]]), 1, pixels(), CPU, None))[
        "diversity"
    ]
    assert found.value == 0 and found.floor == pytest.approx((0.4**2 + 0.8**2) / 2)


def test_clip_features_depend_on_motion() -> None:
    moving = clips(8)
    standing = moving[:, :1].expand_as(moving)
    of_moving, of_standing = (clip_features(part, pixels(), CPU) for part in (moving, standing))
    figure = clip_frechet(of_moving, of_moving, of_standing, of_standing)
    assert figure.floor == pytest.approx(0, abs=1e-3 * figure.value) and figure.value > 0


def test_a_value_that_is_not_finite_is_null_in_the_file(tmp_path: Path) -> None:
    figures = [Figure("a", "b", math.nan, "exact", 3, by_horizon=(math.inf, 1.0)), Figure("a", "c", 2.0, "exact", 3)]
    texts = {"images": "a", "features": "b"}
    evaluation = Evaluation(figures, {"images_seen": 9}, {}, texts, {"name": "a", "digest": "b"}, {})
    file = write_evaluation(tmp_path, evaluation, {"seed": 0})
    found = json.loads(file.read_text())
    assert [figure.value for figure in parse_evaluation(file.read_text()).figures] == [None, 2.0]
    assert [figure["value"] for figure in found["figures"]] == [None, 2.0]
    assert found["figures"][0]["by_horizon"] == [None, 1.0] and found["seed"] == 0
    assert shown(math.nan) == "nan" and shown(-math.inf) == "-inf"


def test_numbers_are_short_and_figures_have_plain_types() -> None:
    assert [shown(x) for x in (12345.6, 0.123456, 3.0, -1e-6)] == ["12,346", "0.1235", "3", "-1e-06"]
    assert asdict(Figure("a", "b", 1.0, "exact", 3))["by_horizon"] == ()
