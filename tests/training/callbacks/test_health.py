"""Health: each trouble is seen in the figures that show it, and health is not called an illness."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from genimg.common.monitored import Monitored
from genimg.training.callbacks.frechet_random import FrechetRandom
from genimg.training.callbacks.health import Health
from genimg.training.callbacks.measuring import Measured
from tests.trained import run_folder

WELL = {
    "images_per_second": 1000.0, "real_logits": 2.0, "fake_logits": -2.0, "kl": 20.0, "beta": 1.0,
    "val_variance_ratio": 0.9,
}  # fmt: skip


def symptoms(ill: dict[str, float], model: Any = None, rows: int = 5, best_at: float = 0.5, looks: int = 3) -> set[str]:
    health = Health(won=10, alike=0.1, silent=0.5, slow=0.4, stale=0.6)
    health._best, health._best_at = Monitored("frechet_random", 0.3, "min", 500), best_at
    health._rows, health._since_best = [dict(WELL)] * 5, looks
    model = model or SimpleNamespace(monitor=("frechet_random", "min"), wasserstein=False)
    assert health.symptoms(cast(Any, model), 0.5) == {}
    health._rows = [*[dict(WELL)] * (5 - rows), *[WELL | ill] * rows]
    return set(health.symptoms(cast(Any, model), 0.9 if best_at == 0.5 else 1.0))


@pytest.mark.parametrize(
    ("ill", "told"),
    [
        ({"real_logits": 9.0, "fake_logits": -8.0}, "won"),
        ({"val_variance_ratio": 0.02}, "alike"),
        ({"kl": 0.1}, "silent"),
        ({"images_per_second": 300.0}, "slow"),
    ],
)
def test_each_is_seen_in_its_figures(ill: dict[str, float], told: str) -> None:
    assert symptoms(ill) == {told}


def test_a_run_without_a_better_checkpoint_for_long_is_told() -> None:
    assert symptoms({}) == set()
    assert symptoms({}, best_at=0.3) == {"stale"}
    assert symptoms({}, best_at=0.3, looks=2) == set(), "a figure that was hardly measured since"


@pytest.mark.parametrize(("kl", "setting"), [({}, "a larger model.gamma"), ({"kl": 20.0}, "a smaller model.beta")])
def test_what_to_try_where_samples_are_alike_is_a_setting_of_the_model(kl: dict[str, float], setting: str) -> None:
    health = Health(won=10, alike=0.1, silent=0.5, slow=0.4, stale=0.6)
    health._rows = [{"images_per_second": 1000.0, "val_variance_ratio": 0.02, **kl}] * 5
    (told,) = health.symptoms(cast(Any, SimpleNamespace()), 0.5).values()
    assert f"Try {setting}, or a lower model.lr" in told


def test_one_row_is_no_illness_nor_is_a_kl_that_is_still_let_go() -> None:
    assert symptoms({"real_logits": 9.0, "fake_logits": -8.0, "kl": 0.1}, rows=4) == set()
    assert symptoms({"kl": 0.1, "beta": 0.5}, rows=4) == set()


def test_wassersteins_critic_gives_no_logits() -> None:
    critic = SimpleNamespace(monitor=("frechet_random", "min"), wasserstein=True)
    assert symptoms({"real_logits": 90.0}, critic) == set()


@pytest.mark.parametrize(("times", "told"), [(10, True), (2, False)])
def test_no_progress_is_seen_in_figures_that_were_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, times: int, told: bool
) -> None:
    """The first figure stays the best; where it was measured once more only, at the end, nothing is known between."""
    figures = iter([1.0] + [2.0] * 9)
    monkeypatch.setattr(FrechetRandom, "look", lambda *_: Measured({"frechet_random": next(figures)}, 4))
    words = ["model=gan", "data.image_size=8", "data.batch_size=16", "model.width=4", "logger=none"]
    words += [
        "budget.images=4800",
        "callbacks.health.stale=0.4",
        "log_every_steps=2",
        "callbacks.frechet_random.num_images=4",
    ]
    run_folder(tmp_path / "run", *words, f"callbacks.frechet_random.times={times}")
    assert ("frechet_random is no better than 1, at" in caplog.text) is told
