"""Folder names with characters that are special to the shell, Hydra or OmegaConf: each works, or is one error."""

from __future__ import annotations

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from genimg.cli.main import read
from genimg.common.errors import UserError
from genimg.common.quoting import quoted
from genimg.config.compose import Composer, without_hydra
from genimg.launch.session import check


@pytest.mark.parametrize("name", ["a b", 'it\'s "q"', "k=v,[x]", "ünï", "new\nline", "-dash", "back\\", "{a:b}%20#?"])
def test_a_folder_with_special_characters_works(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    data, own = Path("data", name), Path("own", name)
    (own / "model").mkdir(parents=True)
    (own / "model" / "mine.yaml").write_text("defaults: [gan]\nlr: 0.5\n")
    data.mkdir(parents=True)
    for number in range(9):
        (data / f"{number}.png").touch()
    words = ["model=mine", "data=image_folder", f"data.root={quoted(str(data))}", f"outputs={quoted(name)}"]
    config = without_hydra(check(Composer("train", own), words))
    OmegaConf.save(config, "config.yaml", resolve=True)
    config = OmegaConf.load("config.yaml")  # as the worker reads it
    assert (config.model.lr, config.data.root, config.data.source.root) == (0.5, str(data), str(data))
    assert config.outputs == name


@pytest.mark.parametrize("key", ["outputs", "data.root"])
@pytest.mark.parametrize("name", ["${x}", "a${b", "\\${x}"])
def test_a_name_that_would_be_resolved_is_one_error(key: str, name: str) -> None:
    with pytest.raises(UserError):
        check(Composer("train"), ["data=image_folder", f"{key}={quoted(name)}"])


@pytest.mark.parametrize("name", ["$HOME", "a/${HOME}", "~"])
def test_outputs_that_tensorboard_would_expand_are_refused(name: str) -> None:
    with pytest.raises(UserError, match="outputs"):
        check(Composer("train"), [f"outputs={quoted(name)}"])


def test_a_config_dir_that_hydra_would_resolve_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a${b").mkdir()
    with pytest.raises(UserError, match="--config-dir"):
        read(["--config-dir", str(tmp_path / "a${b")])
