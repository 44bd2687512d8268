"""Each symptom is found in the metrics that show it, and a healthy run has none."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from genimg.common.monitored import Monitored
from genimg.sampling.images.files import save_png
from genimg.sampling.images.sheets import to_uint8
from genimg.training.callbacks.health import Health, Standing, symptoms
from tests.trained import run_folder
from tests.training.measured import TARGET, discs

HEALTHY = {
    "images_per_second": 1000.0, "real_logits": 2.0, "fake_logits": -2.0, "kl": 20.0, "beta": 1.0,
    "val_variance_ratio": 0.9, "val_between_class_ratio": 0.9, "val_within_class_ratio": 0.9,
    "val_motion": 50.0, "val_mse_best": 50.0, "val_mse_copy": 60.0,
    "val_ssim_best": 0.8, "val_ssim_copy": 0.7,
}  # fmt: skip
LIMITS = Health(
    max_logit_gap=10, min_variance_ratio=0.1, min_class_ratio=0.1, min_motion=0.1, min_progress=0.5, min_kl=0.5,
    min_speed=0.4, max_stagnation=0.6,
)  # fmt: skip
BEST = Monitored("frechet_random", 0.3, "min", 500)
LATE = Standing(progress=0.9, best=BEST, best_at=0.5, since_best=3, best_speed=1000.0)


def found(changed: dict[str, float], rows: int = 5, **options: Any) -> set[str]:
    """The names of the symptoms if the last `rows` of five rows have changed values."""
    history = [HEALTHY] * (5 - rows) + [HEALTHY | changed] * rows
    return set(symptoms(history, LIMITS, LATE, **options))


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"real_logits": 9.0, "fake_logits": -8.0}, "discriminator_won"),
        ({"val_variance_ratio": 0.02}, "mode_collapse"),
        ({"val_between_class_ratio": -0.01}, "equal_classes"),
        ({"val_within_class_ratio": 0.02}, "ignored_latents"),
        ({"val_motion": 2.0}, "no_motion"),
        ({"val_mse_best": 61.0}, "worse_than_copy"),
        ({"val_ssim_best": 0.6}, "worse_than_copy"),  # 0.58 and 0.68 on blurred sprites
        ({"kl": 0.1}, "posterior_collapse"),
        ({"images_per_second": 300.0}, "slow"),
    ],
)
def test_each_symptom_is_found_in_its_metrics(changed: dict[str, float], name: str) -> None:
    assert found({}) == set()
    assert found(changed) == {name}


def test_a_run_without_a_better_checkpoint_for_long_is_stale() -> None:
    end = replace(LATE, progress=1.0, best_at=0.3)
    assert set(symptoms([HEALTHY] * 5, LIMITS, end)) == {"no_progress"}
    assert symptoms([HEALTHY] * 5, LIMITS, replace(end, since_best=2)) == {}, "too few measurements since"


@pytest.mark.parametrize(("kl", "setting"), [({}, "a larger model.gamma"), ({"kl": 20.0}, "a smaller model.beta")])
def test_the_setting_to_try_against_mode_collapse_is_one_of_the_model(kl: dict[str, float], setting: str) -> None:
    rows = [{"images_per_second": 1000.0, "val_variance_ratio": 0.02, **kl}] * 5
    (sentence,) = symptoms(rows, LIMITS, LATE).values()
    assert f"Try {setting}, or a lower model.lr" in sentence


def test_a_healthy_row_among_the_latest_or_a_rising_beta_is_no_symptom() -> None:
    assert found({"real_logits": 9.0, "fake_logits": -8.0, "kl": 0.1}, rows=4) == set()
    assert found({"kl": 0.1, "beta": 0.5}, rows=4) == set()


def test_the_outputs_of_a_wasserstein_critic_are_not_logits() -> None:
    assert found({"real_logits": 90.0}, has_logits=False) == set()


@pytest.mark.parametrize(("times", "warned"), [(10, True), (2, False)])
def test_a_run_is_stale_only_after_several_measurements(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, times: int, warned: bool
) -> None:
    """The first value stays the best. If it is measured only once more, at the end, nothing is known in between."""
    words = ["model=gan", "data.image_size=8", "data.batch_size=16", "model.width=4", "logger=none"]
    words += ["budget.images=4800", "callbacks.health.max_stagnation=0.4", "log_every_steps=2"]
    words += ["callbacks.frechet_random.num_images=4", f"callbacks.frechet_random.times={times}"]
    run_folder(tmp_path / "run", *words, f"{TARGET}.FirstIsBest")
    assert ("frechet_random has not improved on 1, reached at" in caplog.text) is warned


@pytest.fixture(scope="module")
def discs_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """600 colour images in four classes."""
    folder = tmp_path_factory.mktemp("discs")
    z, labels = torch.randn(600, 6, generator=torch.Generator().manual_seed(0)), torch.arange(600) % 4
    for index, image in enumerate(to_uint8(discs(z, labels))):
        kind = folder / f"class{int(labels[index])}"
        kind.mkdir(exist_ok=True)
        save_png(image, kind / f"{index}.png")
    return folder


@pytest.mark.parametrize(
    ("generator", "told"),
    [
        ("Discs", set()),
        ("OneNoisyDisc", {"mode collapse", "classes hardly differ", "ignores z"}),
        ("OneNoisyDiscPerClass", {"ignores z"}),
        ("AnyDisc", {"classes hardly differ"}),
    ],
)
def test_a_collapsed_generator_of_colour_images_is_told_and_a_good_one_is_not(
    discs_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, generator: str, told: set[str]
) -> None:
    """Noise around one image must not count as variety."""
    words = ["model=gan", "model.conditional=true", "data=image_folder", f"data.root={discs_folder}"]
    words += ["data.image_size=16", "data.batch_size=16", "model.width=4", "model.latent_dim=16", "logger=none"]
    words += [f"model._target_=tests.training.measured.{generator}", "budget.images=4000", "log_every_steps=2"]
    run_folder(tmp_path / "run", *words)
    assert {name for name in ("mode collapse", "classes hardly differ", "ignores z") if name in caplog.text} == told


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "told"), [("StandsStill", {"stand still"}), ("Blurs", {"worse than repeating its start image"})]
)
def test_a_sequence_model_that_stands_still_or_blurs_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, model: str, told: set[str]
) -> None:
    words = ["model=rnn", "data=moving_digits", "data.image_size=16", "data.num_frames=4", "data.batch_size=8"]
    words += ["model.width=4", "model.latent_dim=4", "budget.images=1680", "logger=none", "log_every_steps=2"]
    run_folder(tmp_path / "run", *words, "~callbacks.samples", f"model._target_=tests.training.measured.{model}")
    names = ("stand still", "worse than repeating its start image")
    assert {name for name in names if name in caplog.text} == told
