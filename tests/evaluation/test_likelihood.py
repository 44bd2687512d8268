"""The likelihood of independent pixels, against counts, and the exact one of a pixel model."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from genimg.evaluation.likelihood import heat, independent_log_likelihood, likelihood_figures, write_bits
from genimg.models.objectives.likelihoods import LIKELIHOODS
from genimg.sampling.images.sheets import to_float
from tests.trained import untrained


def random_images(count: int, pixels: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(100, 104, (count, 1, 1, pixels), generator=generator, dtype=torch.uint8)


def test_the_log_likelihood_is_the_sum_of_log_frequencies() -> None:
    train, test = random_images(50, 1500, seed=0), random_images(3, 1500, seed=1)
    known, asked = train.flatten(1).numpy(), test.flatten(1).numpy()
    share = ((known[:, None] == asked[None]).sum(0) + 1 / 256) / 51
    expected = np.log(share).sum(1)
    assert independent_log_likelihood(train, test).numpy() == pytest.approx(expected, rel=1e-12)


def test_the_probabilities_of_all_values_sum_to_one() -> None:
    train, every = random_images(7, 1, seed=0), torch.arange(256, dtype=torch.uint8).view(256, 1, 1, 1)
    assert float(independent_log_likelihood(train, every).exp().sum()) == pytest.approx(1, rel=1e-12)


def test_without_training_images_a_pixel_has_eight_bits() -> None:
    none = torch.empty(0, 1, 2, 2, dtype=torch.uint8)
    nats = independent_log_likelihood(none, torch.tensor([[[[0, 9], [100, 255]]]], dtype=torch.uint8))
    assert float(nats) == pytest.approx(-4 * 8 * np.log(2))


def pixel_subject(train: torch.Tensor, test: torch.Tensor, name: str = "pixel_rnn") -> Any:
    """What an evaluation of an untrained model reads."""
    model = untrained(f"model={name}")[1]
    images = SimpleNamespace(train=train, test=test, test_labels=None)
    sampler = SimpleNamespace(model=model, classes=())
    return SimpleNamespace(sampler=sampler, images=images, device=torch.device("cpu"), drawing={"seed": 0})


def test_the_likelihood_of_a_pixel_model_is_exact_and_not_a_bound() -> None:
    test = torch.randint(256, (5, 1, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    subject = pixel_subject(test[:0], test)
    nats, bits = likelihood_figures(subject, samples=16)
    assert nats.kind == bits.kind == "exact" and "N(0, I)" not in nats.note
    with torch.no_grad():
        expected = subject.sampler.model.log_likelihood(to_float(test), None).mean()
    assert nats.value == pytest.approx(float(expected), rel=1e-6)
    assert bits.value == pytest.approx(-nats.value / (64 * np.log(2)))


def test_a_bound_without_draws_names_no_number_of_them() -> None:
    test = torch.randint(256, (5, 1, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    for name, kind, prior in (("code_rnn", "lower bound", False), ("vae", "lower bound, K = 16", True)):
        subject = pixel_subject(test[:0], test, name)
        subject.sampler.model.likelihood = LIKELIHOODS["discretized_logistic"]
        nats, _ = likelihood_figures(subject, samples=16)
        assert nats.kind == kind and ("N(0, I)" in nats.note) == prior


def test_the_map_of_bits_is_beside_its_image(tmp_path: Path) -> None:
    test = torch.randint(256, (2, 1, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    write_bits(pixel_subject(test, test), tmp_path / "bits.png")
    with Image.open(tmp_path / "bits.png") as image:
        assert image.mode == "RGB" and image.width > 2 * 64


def test_heat_goes_from_black_over_red_and_yellow_to_white() -> None:
    colours = heat(torch.tensor([[[0.0, 1 / 3, 2 / 3, 1.0, 1.5]]]))[0, :, 0].T
    assert colours.tolist() == [[0, 0, 0], [255, 0, 0], [255, 255, 0], [255, 255, 255], [255, 255, 255]]
