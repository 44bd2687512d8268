"""The memory of a model is estimated before it is built."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
from omegaconf import OmegaConf

from genimg.common.build import Builder
from genimg.common.errors import UserError
from genimg.common.hardware import available_memory
from genimg.config.compose import Composer, without_hydra
from genimg.training.memory import COPIES, check_memory
from genimg.training.settings import resolve_auto


def node(*words: str) -> dict[str, Any]:
    config = cast(
        dict[str, Any], OmegaConf.to_container(without_hydra(Composer("train").compose([*words])), resolve=True)
    )
    return resolve_auto(config["model"], {"fused": False, "policy": [], "gamma": [0.1, 0.01]})


@pytest.mark.parametrize("model", ["gan", "vae"])
def test_the_estimate_is_that_of_the_built_model(model: str) -> None:
    built = Builder().build(node(f"model={model}"), "model")
    needed = COPIES * sum(weight.numel() * weight.element_size() for weight in built.parameters())
    check_memory(node(f"model={model}"), Builder(), available=needed)
    with pytest.raises(UserError, match="free on this machine"):
        check_memory(node(f"model={model}"), Builder(), available=needed - 1)


def test_a_model_larger_than_the_machine_is_refused_before_it_is_built() -> None:
    large = node("model=gan", "model.width=16384", "model.max_width=16384", "model.hidden=16384")
    with pytest.raises(UserError, match="GB that are free on this machine"):
        check_memory(large, Builder(), available=2**34)


def test_the_free_memory_is_that_of_the_container(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemTotal: 4000 kB\nMemAvailable:    2000 kB\n")
    assert available_memory(tmp_path / "meminfo", tmp_path / "none") == 2000 * 1024
    (tmp_path / "memory.max").write_text("1000000\n")
    (tmp_path / "memory.current").write_text("400000\n")
    assert available_memory(tmp_path / "meminfo", tmp_path) == 600_000
    (tmp_path / "memory.max").write_text("max\n")
    assert available_memory(tmp_path / "meminfo", tmp_path) == 2000 * 1024
    assert available_memory(tmp_path / "missing") is None
