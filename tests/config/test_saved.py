"""A saved configuration is data: it says how a run was trained, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
from omegaconf import DictConfig, OmegaConf

from genimg.common.errors import UserError
from genimg.common.run_folder import RunFolder
from genimg.config.compose import Composer, without_hydra
from genimg.launch.session import check


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    monkeypatch.chdir(tmp_path)
    folder = RunFolder(tmp_path / "outputs" / "2026-01-01" / "run")
    folder.checkpoints.mkdir(parents=True)
    folder.last.touch()
    config = without_hydra(Composer("train").compose([f"run_dir={folder.path}"]))
    OmegaConf.save(config, folder.config, resolve=True)
    return folder


def resumed(run: RunFolder, changes: dict[str, Any], *words: str) -> DictConfig:
    """The configuration with which a run would be resumed whose file was changed."""
    saved = cast(DictConfig, OmegaConf.load(run.config))
    OmegaConf.set_struct(saved, False)
    for key, value in changes.items():
        OmegaConf.update(saved, key, value, force_add=True)
    OmegaConf.save(saved, run.config)
    return check(Composer("train"), ["resume=last", *words], on_this_machine=False)


def test_hosts_and_processes_come_from_the_command_line(run: RunFolder) -> None:
    attack = {
        "launch.rdzv_endpoint": "192.0.2.1:29500", "launch.node_rank": 1, "trainer.num_nodes": 2, "trainer.devices": 64,
        "trainer.strategy": "ddp", "outputs": "/elsewhere", "dry_run": True, "allow_changes": True, "trust": ["os"],
        "sweep.seeds": 9,
    }  # fmt: skip
    config = resumed(run, attack)
    defaults = check(Composer("train"), [], on_this_machine=False)
    for key in ("launch", "trainer", "outputs", "dry_run", "allow_changes", "sweep"):
        assert config[key] == defaults[key], key
    assert config.trust == []
    config = check(Composer("train"), ["resume=last", "trainer.devices=2"], on_this_machine=False)
    assert config.trainer.devices == 2


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("task", "compare"),
        ("out", "/any/file"),
        ("runs", ["a", "b"]),
        ("hydra", {"run": {"dir": "/x"}}),
        ("launch2", 1),
    ],
)
def test_another_task_and_an_unknown_key_are_refused(run: RunFolder, key: str, value: Any) -> None:
    with pytest.raises(UserError, match=f"(?s){key}.*expected: (the configuration of training|only the keys)"):
        resumed(run, {key: value})


@pytest.mark.parametrize("name", ["_args_", "_convert_", "_recursive_", "_mode_"])
@pytest.mark.parametrize("place", ["data.source", "model", "model.generator", "callbacks.samples"])
def test_only_arguments_by_name_are_saved(run: RunFolder, place: str, name: str) -> None:
    with pytest.raises(UserError, match=name):
        resumed(run, {f"{place}.{name}": ["/elsewhere"]})


def test_caches_and_downloads_come_from_the_command_line(run: RunFolder) -> None:
    attack = {"data.source.cache": "/elsewhere", "data.source.download": True, "data.source.parts": [{"cache": "/x"}]}
    config = resumed(run, attack)
    assert config.data.source.cache is False and config.data.source.download is False
    assert config.data.source.parts[0].cache is False
