"""Fixtures for tests of readers: an untrained checkpoint, and a short training run in this process."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import torch
from omegaconf import OmegaConf
from pytorch_lightning import Callback

from genimg.checkpoints.schema import RunState, capture
from genimg.common.build import Builder
from genimg.common.run_folder import RunFolder
from genimg.common.settings import read_settings
from genimg.config.compose import Composer, without_hydra
from genimg.models.base import GenerativeModel
from genimg.training import fit as train
from genimg.training.machine import Machine, configure
from genimg.training.settings import TrainerSettings, resolve_auto

#: What `auto` means in the model of a configuration that no run has resolved.
AUTO = {
    "fused": False, "policy": [], "gamma": [0.1, 0.01], "likelihood": "bernoulli", "adversarial": 0.0,
    "distribution": "categorical",
}  # fmt: skip
# not every model and network has these keys
SMALL = ["data.image_size=8", "++model.width=4", "++model.max_width=8", "++model.latent_dim=4", "++model.hidden=16"]


def untrained(*words: str) -> tuple[dict[str, Any], GenerativeModel]:
    """Returns the configuration of a small model, and the model; `words` as on the command line: `model=vae`."""
    composed = without_hydra(Composer("train").compose([*SMALL, *words]))
    config = cast(dict[str, Any], OmegaConf.to_container(composed, resolve=True))
    config["model"] = resolve_auto(config["model"], AUTO)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return config, Builder().build(config["model"])


def checkpoint(*words: str) -> dict[str, Any]:
    """Returns the checkpoint of a model of `untrained`."""
    config, model = untrained(*words)
    channels, size = config["data"]["channels"], config["data"]["image_size"]
    shape = [channels, size, size]
    data = SimpleNamespace(
        fingerprint={"name": config["data"]["name"], "count": 1, "shape": shape, "digest": ""},
        classes=[str(number) for number in range(config["data"]["num_classes"])],
        actions=[f"act{number}" for number in range(config["data"].get("num_actions", 0))],
        image_shape=shape,
        num_frames=config["data"].get("num_frames"),
    )
    ema = {name: tensor for name, tensor in model.state_dict().items() if name.startswith(model.ema_prefixes)}
    state = {"weights": ema, "chosen": "half_life", "others": {}}
    return capture(RunState(config, model, state, [], {}, data, 0, 1.0, None, [], {}, 0, {}))


def cpu_machine() -> Machine:
    """One process on the CPU with one thread."""
    composed = without_hydra(Composer("train").compose(["trainer=cpu", "trainer.threads=1"]))
    return configure(read_settings(TrainerSettings, composed.trainer))


def run_folder(folder: Path, *words: str, callbacks: Sequence[Callback] = ()) -> Path:
    """Trains or resumes a run in `folder`, in this process and on one CPU thread, and returns the folder."""
    own = ["trainer=cpu", "trainer.threads=1", f"run_dir={folder}"]
    composed = without_hydra(Composer("train").compose([*words, *own]))
    folder.mkdir(parents=True, exist_ok=True)
    OmegaConf.save(composed, RunFolder(folder).config, resolve=True)
    assert train.run(cast(dict[str, Any], OmegaConf.to_container(composed, resolve=True)), callbacks) == 0
    return folder
