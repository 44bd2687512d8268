"""The memory of a model is estimated before it is built."""

from __future__ import annotations

import copy
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from omegaconf import OmegaConf
from pytorch_lightning import Callback, LightningModule, Trainer

from genimg.common.build import Builder
from genimg.common.errors import UserError
from genimg.common.hardware import available_memory
from genimg.config.compose import Composer, without_hydra
from genimg.data.module import GenerativeData
from genimg.models.base import GenerativeModel
from genimg.models.memory import PeakMemory
from genimg.training.accumulate import accumulate
from genimg.training.memory import COPIES, check_memory, check_step
from genimg.training.settings import resolve_auto
from tests.trained import AUTO, SMALL, cpu_machine, run_folder, untrained


def node(*words: str) -> dict[str, Any]:
    config = cast(
        dict[str, Any], OmegaConf.to_container(without_hydra(Composer("train").compose([*words])), resolve=True)
    )
    return resolve_auto(config["model"], AUTO)


@pytest.mark.parametrize("model", ["gan", "vae", "draw"])
def test_the_estimate_is_that_of_the_built_model(model: str) -> None:
    built = Builder().build(node(f"model={model}"), "model")
    needed = COPIES * sum(weight.numel() * weight.element_size() for weight in built.parameters())
    check_memory(node(f"model={model}"), Builder(), available=needed)
    with pytest.raises(UserError, match="free on this machine"):
        check_memory(node(f"model={model}"), Builder(), available=needed - 1)


def test_the_estimate_leaves_the_random_numbers_of_a_run() -> None:
    before = torch.get_rng_state()
    check_memory(node("model=gan"), Builder(), available=2**40)
    assert torch.equal(torch.get_rng_state(), before)


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


class FirstStep(Callback):
    """Records the memory of the first step of a run, from its model to the end of the step of its optimizers."""

    model: GenerativeModel
    data: GenerativeData
    peak = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.model = copy.deepcopy(cast(GenerativeModel, pl_module))
        self.data = trainer.datamodule  # pyright: ignore[reportAttributeAccessIssue]
        original = pl_module.training_step

        def training_step(batch: Any, batch_idx: int) -> Any:
            with PeakMemory() as peak:
                result = original(batch, batch_idx)
            self.peak = peak.bytes
            trainer.should_stop = True
            return result

        pl_module.training_step = training_step


@pytest.mark.parametrize("network", ["slim", "stylegan2", "r3gan"])
def test_the_estimate_of_a_step_is_what_a_step_takes(network: str, tmp_path: Path) -> None:
    step = FirstStep()
    words = ["model=gan", f"model/network={network}", "data.batch_size=64"]
    run_folder(tmp_path / "run", *SMALL, *words, callbacks=[step])
    machine = cpu_machine()
    check_step(step.model, step.data, machine, available=round(1.05 * step.peak))  # and the batch itself
    with pytest.raises(UserError, match="64 images in a batch"):
        check_step(step.model, step.data, machine, available=round(0.99 * step.peak))


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("words", [["model=vae"], ["model=rnn", "data=moving_digits"]])
def test_a_step_of_which_lightning_does_a_part_is_estimated(words: list[str], parts: int) -> None:
    config, model = untrained(*words)
    accumulate(model, parts)
    frames = config["data"].get("num_frames")
    data = cast(
        GenerativeData,
        SimpleNamespace(batch_size=64, step_size=64 * parts, image_shape=(1, 8, 8), num_frames=frames, actions=()),
    )
    machine = cpu_machine()
    check_step(model, data, machine, available=2**27)
    with pytest.raises(UserError, match="64 images in a batch"):
        check_step(model, data, machine, available=64 * 8 * 8 * 4)
