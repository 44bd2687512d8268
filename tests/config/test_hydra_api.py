"""The versions that genimg/config/hydra_api.py was verified with, and what its private APIs must do."""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from genimg.config import hydra_api

VERIFIED = {"hydra-core": "1.3", "omegaconf": "2.3"}  # verified with 1.3.8 and 2.3.1
PRIVATE = re.compile(
    r"^\s*(?:from|import) hydra\.(?:_internal|core|version|plugins)\b|\._(?:get_node|content|is_missing)\b", re.M
)


@pytest.mark.parametrize("package", VERIFIED)
def test_the_installed_version_is_verified(package: str) -> None:
    installed = version(package)
    message = f"{package} {installed} is not verified: run the tests of config and sweeps, then change VERIFIED"
    assert installed.rpartition(".")[0] == VERIFIED[package], message


def test_no_other_module_uses_private_apis() -> None:
    source = Path(__file__).parents[2] / "src" / "genimg"
    using = {path.name for path in source.rglob("*.py") if PRIVATE.search(path.read_text(encoding="utf-8"))}
    assert using == {"hydra_api.py"}


def test_files_come_in_the_order_in_which_they_take_effect() -> None:
    found = [(file.name, file.package) for file in hydra_api.Loader(None).files("train", ["model=vae"])]
    assert ("configs/model/vae.yaml", "model") in found and ("configs/train.yaml", "") in found
    assert found.index(("configs/model/vae.yaml", "model")) < found.index(("configs/train.yaml", ""))


def test_nodes_are_read_unresolved() -> None:
    config = OmegaConf.create({"a": {"b": "${c}", "d": "???"}, "c": [1]})
    nodes = hydra_api.flatten(config)
    assert list(nodes) == ["a", "c", "a.b", "a.d"]
    assert hydra_api.interpolation(nodes["a.b"]) == "${c}" and hydra_api.interpolation(nodes["c"]) is None
    assert hydra_api.missing_keys(nodes) == ["a.d"]
    assert hydra_api.has_key(config, "a.b") and not hydra_api.has_key(config, "a.x")
    assert hydra_api.plain_value(config, "a.b") == [1]
