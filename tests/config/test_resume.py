"""resume=RUN: the saved configuration, with nothing changed but what may be."""

from __future__ import annotations

from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf

from genimg.config.check import check
from genimg.config.compose import Composer, without_hydra
from genimg.errors import UserError
from genimg.runs import RunFolder


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    """A run with other values than the defaults, and a checkpoint."""
    monkeypatch.chdir(tmp_path)
    found = RunFolder(Path("outputs/2026-01-01/10-00-00-gan-digits"))
    found.checkpoints.mkdir(parents=True)
    found.last.touch()
    config = without_hydra(_checked("model.lr=0.125", "seed=7", "budget.images=1000", "budget.minutes=3"))
    config.run_dir = str(found.path)
    OmegaConf.save(OmegaConf.create(OmegaConf.to_container(config, resolve=True)), found.config)
    return found


def _checked(*words: str) -> DictConfig:
    return check(Composer("train"), list(words))


def test_the_saved_configuration_goes_on(run: RunFolder) -> None:
    config = _checked("resume=last")
    assert (config.model.lr, config.seed, config.budget.images) == (0.125, 7, 1000)
    assert (config.resume, config.run_dir) == (str(run.path), str(run.path))


def test_what_may_change(run: RunFolder) -> None:
    config = _checked(f"resume={run.path}", "logger=csv", "trainer.threads=1", "~callbacks.samples")
    assert list(config.logger) == ["csv"]
    assert config.logger.csv.run_dir == str(run.path)
    assert config.trainer.threads == 1
    assert "samples" not in config.callbacks
    assert config.model.lr == 0.125


def test_a_new_budget_replaces_the_saved_one(run: RunFolder) -> None:
    assert run.config.exists()
    assert _checked("resume=last", "budget.images=5e3").budget == {
        "images": 5000,
        "epochs": None,
        "minutes": None,
    }


@pytest.mark.parametrize("word", ["model=vae", "model.lr=1", "data=mnist", "seed=3", "experiment=null", "+model.x=1"])
def test_anything_else_is_refused_by_name(word: str, run: RunFolder) -> None:
    assert run.config.exists()
    with pytest.raises(UserError, match="may change") as mistake:
        _checked("resume=last", word)
    assert mistake.value.key == word.lstrip("+").split("=")[0]


def test_a_run_without_a_checkpoint_cannot_go_on(run: RunFolder) -> None:
    run.last.unlink()
    with pytest.raises(UserError, match="checkpoint"):
        _checked(f"resume={run.path}")
