"""A run that can be resumed, and the configuration with which it is: for tests of resume=RUN."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
from omegaconf import DictConfig, OmegaConf

from genimg.common.run_folder import RunFolder
from genimg.config.compose import Composer, without_hydra
from genimg.launch.session import check


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    """A run with other values than the defaults, and a checkpoint."""
    monkeypatch.chdir(tmp_path)
    found = RunFolder(tmp_path / "outputs/2026-01-01/10-00-00-gan-digits")
    found.checkpoints.mkdir(parents=True)
    found.last.touch()
    config = without_hydra(checked("model.lr=0.125", "seed=7", "budget.images=1000", "budget.minutes=3"))
    config.run_dir = str(found.path)
    OmegaConf.save(OmegaConf.create(OmegaConf.to_container(config, resolve=True)), found.config)
    return found


def checked(*words: str) -> DictConfig:
    return check(Composer("train"), list(words))


def plain(config: DictConfig) -> dict[str, Any]:
    """The configuration as the worker reads it."""
    return cast(dict[str, Any], OmegaConf.to_container(without_hydra(config), resolve=True))


def rewrite(run: RunFolder, key: str, value: Any) -> None:
    """The saved configuration with one key set as an attacker could."""
    config = OmegaConf.load(run.config)
    OmegaConf.update(config, key, value, merge=False, force_add=True)
    OmegaConf.save(config, run.config)
