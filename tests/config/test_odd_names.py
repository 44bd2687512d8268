"""Folders whose names mean something to the shell, to Hydra or to OmegaConf: each works as it is, or is one message."""

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
def test_a_folder_of_an_odd_name_works(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
def test_what_would_be_read_as_another_key_is_a_message(key: str, name: str) -> None:
    with pytest.raises(UserError):
        check(Composer("train"), ["data=image_folder", f"{key}={quoted(name)}"])


@pytest.mark.parametrize("name", ["$HOME", "a/${HOME}", "~"])
def test_a_run_is_not_written_where_tensorboard_would_read_another_name(name: str) -> None:
    with pytest.raises(UserError, match="outputs"):
        check(Composer("train"), [f"outputs={quoted(name)}"])


def test_yaml_is_not_looked_for_in_a_folder_whose_name_hydra_would_resolve(tmp_path: Path) -> None:
    (tmp_path / "a${b").mkdir()
    with pytest.raises(UserError, match="--config-dir"):
        read(["--config-dir", str(tmp_path / "a${b")])
