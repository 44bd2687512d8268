"""The metric that chooses the best checkpoint, on image sets of known quality."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from genimg.common.run_folder import RunFolder
from genimg.data.digits import Digits
from genimg.evaluation.features.extractor import Extractor
from genimg.evaluation.features.random import RandomFeatures
from genimg.evaluation.metrics.frechet import frechet_distance
from tests.trained import run_folder
from tests.training.measured import TARGET, Timed

CPU = torch.device("cpu")


def digits() -> tuple[Tensor, Tensor]:
    """Returns images, uint8 (N, 1, 16, 16), and their labels."""
    items = Digits().load("train", (1, 16, 16))
    chosen = torch.randperm(1200, generator=torch.Generator().manual_seed(0))  # the set is sorted by writer
    assert items.labels is not None
    return items.fetch(chosen, 0), items.labels[chosen]


def all_rows(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in RunFolder(run).metrics.read_text().splitlines()]


def measured_rows(run: Path) -> list[dict[str, Any]]:
    return [row for row in all_rows(run) if "frechet_random" in row]


def distance(real: Tensor, fake: Tensor) -> float:
    extractor = Extractor("random", RandomFeatures(real.shape[1]), "")
    features = extractor(real, CPU)
    return frechet_distance(features, extractor(fake, CPU)) / float(features.var(dim=0).sum())


def test_the_distance_is_small_to_images_of_the_same_kind_and_large_to_worse_ones() -> None:
    images, labels = digits()
    real, other = images[:600], images[600:]
    floor = distance(real, other)
    noisy = (other.float() + 25 * torch.randn(other.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 255)
    few = other[labels[600:] < 5]  # half of the classes are missing
    blurred = torch.nn.functional.avg_pool2d(other.float(), 3, stride=1, padding=1)
    for worse in (noisy.to(torch.uint8), few, blurred.to(torch.uint8), other[:4].repeat(150, 1, 1, 1)):
        assert distance(real, worse) > 2 * floor
    assert distance(real, real) < 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("model", ["gan", "vae"])
def test_the_measurements_cost_less_than_a_twentieth_of_a_run(tmp_path: Path, model: str) -> None:
    """Two measurements of 504 images in 16,800 are the share of a run of any length. Compares processor times, because
    other work on the machine slows one more than the other.
    """
    Timed.seconds.clear()
    words = [f"model={model}", "budget.images=16800", "callbacks.frechet_random.times=2", f"{TARGET}.Timed"]
    started = time.process_time()
    run_folder(tmp_path / "run", *words)
    seconds = time.process_time() - started
    assert len(Timed.seconds) == 2 and sum(Timed.seconds) < 0.05 * seconds, (Timed.seconds, seconds)


@pytest.mark.parametrize(("model", "images"), [("gan", 960), ("pixel_rnn", 2880)])
def test_a_short_run_is_measured_less_often(tmp_path: Path, model: str, images: int) -> None:
    """It can afford 57: 28 at two of ten moments. One pixel after the other costs three times as much."""
    words = [f"model={model}", "data.image_size=8", "data.batch_size=16", "model.width=4", "logger=none"]
    run = run_folder(tmp_path / "run", *words, f"budget.images={images}", "callbacks.frechet_random.num_images=28")
    assert [row["n"] for row in measured_rows(run)] == [28, 28]


def test_a_run_with_a_budget_in_minutes_is_measured_with_a_constant_n_and_at_its_end(tmp_path: Path) -> None:
    words = ["model=vae", "data.image_size=8", "data.batch_size=16", "model.width=4", "logger=none"]
    run = run_folder(tmp_path / "run", *words, "budget.images=null", "budget.minutes=0.03")
    rows = measured_rows(run)
    assert rows and len({row["n"] for row in rows}) == 1
    assert rows[-1]["images_seen"] == max(row["images_seen"] for row in all_rows(run))


def test_random_features_are_constant_and_do_not_use_the_global_generator() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    networks = [RandomFeatures(3) for _ in range(2)]
    assert torch.equal(before, torch.get_rng_state())
    images = torch.randint(0, 256, (2, 3, 100, 37), dtype=torch.uint8)
    assert torch.equal(networks[0](images), networks[1](images)) and networks[0](images).shape == (2, 64)
