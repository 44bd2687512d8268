"""What tests of readers begin with: a checkpoint as a run writes it, without the run; a short run without a command."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import torch
from omegaconf import OmegaConf

from genimg.checkpoints.read import FORMAT, versions
from genimg.common.build import build
from genimg.common.run_folder import RunFolder
from genimg.config.compose import Composer, without_hydra
from genimg.training import fit as train
from genimg.training.setup import answered

SMALL = ["data.image_size=8", "model.width=4", "model.max_width=8", "model.latent_dim=4", "model.hidden=16"]


def checkpoint(*words: str) -> dict[str, Any]:
    """Of a model that has learned nothing, small; `words` as on the command line: `model=vae`."""
    composed = without_hydra(Composer("train").compose([*words, *SMALL]))
    config = cast(dict[str, Any], OmegaConf.to_container(composed, resolve=True))
    config["model"] = answered(config["model"], {"fused": False, "policy": []})
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build(config["model"], trust=None)
    channels, size = config["data"]["channels"], config["data"]["image_size"]
    frames = config["data"].get("num_frames")
    classes = [str(number) for number in range(config["data"]["num_classes"])]
    shape = [channels, size, size]
    state = model.state_dict()
    return {
        "format": FORMAT,
        "config": config,
        "model": state,
        "ema": {name: tensor for name, tensor in state.items() if name.startswith(model.ema_prefixes)},
        "optimizers": [],
        "clock": {"images_seen": 0, "seconds": 1.0, "progress": 0.0},
        "images_seen": 0,
        "rollbacks": 0,
        "processes": [],
        "data": {
            "fingerprint": {"name": config["data"]["name"], "count": 1, "shape": shape, "digest": ""},
            "classes": classes,
            "image_shape": shape,
            "num_frames": frames,
        },
        "figures": {"best": None},
        "versions": versions(),
    }


def run_folder(folder: Path, *words: str) -> Path:
    """`folder`, once a run by `words` has ended in it; trained in this process, which has imported torch already,
    on one thread of the processor.
    """
    own = ["trainer=cpu", "trainer.threads=1", f"run_dir={folder}"]
    composed = without_hydra(Composer("train").compose([*words, *own]))
    folder.mkdir(parents=True)
    OmegaConf.save(composed, RunFolder(folder).config, resolve=True)
    assert train.run(cast(dict[str, Any], OmegaConf.to_container(composed, resolve=True))) == 0
    return folder
