"""Each configs/experiment/NAME.yaml composes with published sizes, and trains for three steps with small ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image

from genimg.checkpoints.read import load_checkpoint
from genimg.common.build import Builder
from genimg.common.run_folder import RunFolder
from genimg.config import yaml_text as pages
from genimg.config.check import count_devices
from genimg.config.compose import Composer, without_hydra
from genimg.data.idx import FashionMNIST
from genimg.data.torchvision_sets import TorchvisionStills
from genimg.launch.session import check
from genimg.training import fit as train
from genimg.training.settings import resolve_auto
from tests.data.stand_ins import Numbered

EXPERIMENTS = list(pages.groups(None)["experiment"])
# sizes only: every other setting is the preset's
SIZES = {
    "model.width": 8, "model.max_width": 8, "model.hidden": 8, "model.latent_dim": 8, "model.mapping_layers": 2,
    "data.image_size": 16, "data.batch_size": 32, "callbacks.samples.num_images": 4, "callbacks.samples.num_clips": 2,
}  # fmt: skip
SHORT = [
    "budget.images=96", "budget.minutes=null", "trainer.accelerator=cpu", "trainer.threads=1", "logger=none",
    "callbacks.frechet_random.times=1", "callbacks.validation.times=1", "callbacks.samples.times=1",
]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """160 images in two folders."""
    root = tmp_path_factory.mktemp("images")
    for number in range(160):
        place = root / f"class{number % 2}" / f"{number:03}.png"
        place.parent.mkdir(exist_ok=True)
        Image.new("RGB", (20, 17), (number, 255 - number, 90)).save(place)
    return root


def of(experiment: str, folder: Path, words: Sequence[str] = ()) -> dict[str, Any]:
    """The configuration of a preset, whose images are those of `folder` if it reads one."""
    composer = Composer("train")
    data = composer.compose([f"experiment={experiment}"]).data
    root = [f"data.root={folder}"] if data.name == "image_folder" else []
    config = without_hydra(check(composer, [f"experiment={experiment}", *root, *words], on_this_machine=False))
    count_devices(config)
    plain = OmegaConf.to_container(config, resolve=True)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_three_steps(experiment: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in = Numbered(400, has_test_split=True)
    for downloaded in (TorchvisionStills, FashionMNIST):
        monkeypatch.setattr(downloaded, "load", lambda self, part, shape: stand_in.load(part, shape))
    keys = Composer("train").compose([f"experiment={experiment}"])
    sizes = [f"{key}={value}" for key, value in SIZES.items() if OmegaConf.select(keys, key) is not None]
    run = RunFolder(tmp_path / "run")
    run.path.mkdir()
    config = of(experiment, folder, [*sizes, *SHORT]) | {"run_dir": str(run.path)}
    OmegaConf.save(config, run.config)
    assert train.run(config) == 0
    checkpoint = load_checkpoint(run.last)
    assert checkpoint["images_seen"] == 96
    assert all(weight.isfinite().all() for weight in checkpoint["model"].values())


# stages, blocks of each, channels and groups of the 3 x 3 convolutions from fine to coarse: train.py of brownvc/R3GAN
PUBLISHED = {
    "cifar10_r3gan": (2, [768] * 4, [96] * 4),
    "ffhq64_r3gan": (2, [384, 768, 768, 768, 768], [48, 96, 96, 96, 96]),
    "imagenet64_r3gan": (2, [1536] * 5, [96] * 5),
}


@pytest.mark.parametrize("experiment", PUBLISHED)
def test_the_networks_of_r3gan_have_the_published_sizes(experiment: str, folder: Path) -> None:
    settings = of(experiment, folder)["model"]
    node = resolve_auto(settings, {"fused": False})
    with torch.device("meta"):
        model = Builder().build(node)
    blocks, channels, groups = PUBLISHED[experiment]
    stages = [stage for stage in model.discriminator.stages if hasattr(stage[0], "mix")]
    assert [len(stage) for stage in stages] == [blocks] * len(channels)
    assert [stage[0].expand.in_channels for stage in stages] == channels
    assert [stage[0].mix.groups for stage in stages] == groups
