"""Every YAML, found by this test itself: composed, checked, and run for a step."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf
from PIL import Image

from genimg.common.errors import UserError
from genimg.common.run_folder import RunFolder
from genimg.config import yaml_text as pages
from genimg.config.check import count_devices
from genimg.config.compose import Composer, without_hydra
from genimg.launch.session import check

GROUPS = pages.groups(None)
CHOICES = [f"{group}={choice}" for group, choices in GROUPS.items() for choice in choices]
# tests/training/test_loggers.py runs them, in processes of their own
SERVICES = ("logger=comet", "logger=mlflow", "logger=wandb")
OF_SWEEPS = ("hparams_search=", "hydra/")  # tests/sweeps runs them
OF_MODELS = [  # the networks that models have by default, which run with the models
    f"model/network={name}"
    for file in Path(__file__).parent.parent.glob("configs/model/*.yaml")
    for name in re.findall(r"^  - network: (\w+)", file.read_text(), re.MULTILINE)
]
DATA_KEYS = {
    "_target_",
    "source",
    "name",
    "kind",
    "image_size",
    "channels",
    "num_classes",
    "batch_size",
    "minutes",
}
MODEL_KEYS = {"_target_", "name", "lr"}
CONDITIONAL = [
    model
    for model in GROUPS["model"]
    if {key.name for key in pages.all_keys("model", model, None)} >= {"conditional", "num_classes"}
]

# one step of eight items, with little to validate and to draw
ONE_STEP = [
    "budget.images=8", "budget.minutes=null", "data.batch_size=8", "trainer.accelerator=cpu", "trainer.threads=1",
]  # fmt: skip
SMALL = ["callbacks.validation.num_images=8", "callbacks.samples.times=1"]


def _checked(words: list[str]) -> DictConfig:
    """The configuration of these words, whatever this machine has."""
    return check(Composer("train"), words, on_this_machine=False)


def _targets(node: Any) -> set[str]:
    """Every `_target_` below a node."""
    if isinstance(node, dict):
        return {str(node[key]) for key in node if key == "_target_"}.union(*map(_targets, node.values()))
    return set().union(*map(_targets, node)) if isinstance(node, list) else set()


def _partners(choice: str) -> list[str]:
    """`choice` and the choices that it requires: sequences a sequence model, and a network its model."""
    if choice.startswith("hydra/sweeper/"):
        return ["hydra/sweeper=optuna", choice]
    if choice.startswith("model/network="):
        models = [[f"model={model}", choice] for model in pages.groups(None)["model"]]
        return next(words for words in models if _passes(words))
    composed = Composer("train").compose([choice])
    kind = OmegaConf.select(composed, "data.kind")
    model = OmegaConf.select(composed, "model.name")
    if choice.startswith("data=") and kind == "sequences" and model != "rnn":
        return [choice, "model=rnn"]
    return [choice]


def _passes(words: list[str]) -> bool:
    try:
        return bool(_checked(words))
    except UserError:
        return False


@pytest.mark.parametrize("choice", CHOICES)
def test_every_choice_composes_and_passes_the_checks(choice: str, tmp_path: Path) -> None:
    config = _checked([*_partners(choice), *_own_images(choice, tmp_path)])
    plain = OmegaConf.to_container(without_hydra(config), resolve=True, throw_on_missing=True)
    assert isinstance(plain, dict)
    assert set(plain["data"]) >= DATA_KEYS
    assert set(plain["model"]) >= MODEL_KEYS


@pytest.mark.parametrize("task", pages.tasks(None))
def test_every_task_composes_alone(task: str) -> None:
    config = without_hydra(check(Composer(task), [], on_this_machine=False))
    assert config.task == task
    OmegaConf.to_container(config, resolve=True, throw_on_missing=True)


@pytest.mark.parametrize("model", CONDITIONAL)
@pytest.mark.parametrize("shape", [(28, 1), ("[50,37]", 3)])
def test_every_model_takes_its_shape_from_the_data(model: str, shape: tuple[object, int]) -> None:
    words = [f"model={model}", f"data.image_size={shape[0]}", f"data.channels={shape[1]}"]
    config = _checked([*words, "model.conditional=true"])
    assert config.model.num_classes == config.data.num_classes > 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "choice", [one for one in CHOICES if one not in (*SERVICES, *OF_MODELS) and not one.startswith(OF_SWEEPS)]
)
def test_every_choice_runs_for_a_step(choice: str, tmp_path: Path) -> None:
    words = [*_partners(choice), *_needs(choice, tmp_path)]
    _run(words, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("model", GROUPS["model"])
def test_every_model_runs_in_colour_and_conditional_if_it_can_be(model: str, tmp_path: Path) -> None:
    words = [f"model={model}", "data.image_size=[21,34]", "data.channels=3"]
    words += ["model.conditional=true"] if model in CONDITIONAL else []
    _run(words, tmp_path)


def _own_images(choice: str, tmp_path: Path) -> list[str]:
    """The folder of an experiment that reads the user's images, whose classes it may need."""
    data = Composer("train").compose([choice]).data if choice.startswith("experiment=") else {}
    return [f"data.root={_folder(tmp_path / 'mine')}"] if "root" in data and "fit" in data else []


def _needs(choice: str, tmp_path: Path) -> list[str]:
    """What a data set needs to be there; skips those that only a download brings."""
    config = OmegaConf.to_container(without_hydra(Composer("train").compose([choice])).data)
    targets = _targets(config)
    if any(target.endswith((".TorchvisionStills", ".CelebA")) for target in targets):
        pytest.skip("comes by download")
    if any(target.endswith(".FashionMNIST") for target in targets):
        if not Path("/usr/share/datasets/fashion-mnist").is_dir():
            pytest.skip("Debian's dataset-fashion-mnist is not installed")
        return []
    if any(target.endswith(".MapStyle") for target in targets):
        return ["+data.source.train._target_=torchvision.datasets.FakeData", "+data.source.train.size=40"]
    if any(target.endswith((".ImageFolder", ".FrameFolder")) for target in targets):
        return [f"data.root={_folder(tmp_path / 'mine')}", "data.image_size=24"]
    return []


def _folder(root: Path) -> Path:
    """Forty small images in two classes; each class is a clip of twenty frames in five folders."""
    for number in range(200):
        place = root / f"{'ab'[number % 2]}" / f"clip{number // 40}" / f"{number:03}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (24, 24), (number, 255 - number, 90)).save(place)
    return root


def _run(words: list[str], tmp_path: Path) -> None:
    """Trains a step in this process, as the worker does, and looks for what a run leaves."""
    from genimg.training import fit as train

    callbacks = [] if "callbacks=none" in words else SMALL
    size = "hidden" if "model=draw" in words else "width"
    config = without_hydra(_checked([*words, *ONE_STEP, f"model.{size}=8", *callbacks]))
    count_devices(config)
    run = RunFolder(tmp_path / "outputs" / "2026-01-01" / "10-00-00-test")
    run.path.mkdir(parents=True)
    config.run_dir = str(run.path)
    plain = OmegaConf.to_container(config, resolve=True)
    assert isinstance(plain, dict)
    OmegaConf.save(plain, run.config)
    assert train.run({str(key): value for key, value in plain.items()}) == 0
    assert run.last.is_file()
    assert run.metrics.is_file()
    assert list(run.samples.rglob("*.png")) + list(run.samples.rglob("*.gif"))
