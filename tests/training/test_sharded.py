"""A model in parts, on two processes on the processor: it trains, measures, stops and goes on as a whole one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule

from genimg.checkpoints.read import load_checkpoint
from genimg.common.errors import UserError
from genimg.common.run_folder import RunFolder
from genimg.config.compose import Composer, without_hydra
from genimg.sampling.load import load
from genimg.training.sharded import LEAST, ShardedWeights, large_layers
from tests.together import in_parts, run_together

SMALL = [
    "data.image_size=8", "data.batch_size=16", "model.width=4", "model.latent_dim=4", "trainer.accelerator=cpu",
    "trainer.threads=1", "trainer.precision=32-true", "trainer.memory_format=contiguous", "trainer.devices=2",
    "logger=none", "log_every_steps=2", "callbacks.validation.times=2", "callbacks.validation.num_images=32",
    "callbacks.samples.times=2", "callbacks.quality.times=2", "callbacks.quality.num_images=16", "budget.images=96",
]  # fmt: skip
MODELS = {
    "gan": ["model=gan"],
    "wasserstein": ["model=gan", "model.objective=wasserstein", "model.conditional=true"],
    "vae": ["model=vae", "callbacks.prior.num_images=32"],
    "rnn": ["model=rnn", "data=moving_digits", "data.image_size=16", "data.num_frames=4"],
}

# One process, which trains one run after the other, `FOLDER@IMAGES` up to so many of its images. Tells how much of
# the optimizers' state it holds.
PROCESS = """
import json, os, sys, torch
from pathlib import Path
from omegaconf import OmegaConf
from pytorch_lightning import Callback
from genimg.training import sharded
from genimg.training.callbacks.clock import Clock
from genimg.training.callbacks.find import find
from genimg.training.machine import choose
from genimg.distributed.data_parallel import gathered, join, leave
from genimg.common.ranks import rank
from genimg.common.run_folder import RunFolder
from genimg.training import fit as train

class Stop(Callback):
    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        clock = find(trainer, Clock)
        clock.asked_to_stop = 143 if clock.images_seen + clock.batch_size == int(images or 0) else 0

torch.set_num_threads(1)
sharded.LEAST = 500  # layers of both kinds in a small model
make_trainer = train.make_trainer
train.make_trainer = lambda *given: make_trainer(*given, Stop())
join(torch.device("cpu"))
for word in sys.argv[1:]:
    run_dir, _, images = word.partition("@")
    config = OmegaConf.to_container(OmegaConf.load(f"{run_dir}/config.yaml"))
    resume = train.newest_checkpoint(RunFolder(Path(config["resume"]))) if config["resume"] else None
    trainer = train.fit(config, choose(config["trainer"]), RunFolder(Path(run_dir)), resume)
    gathered(None)
    moments = [m for o in trainer.optimizers for state in o.state.values() for m in state.values()]
    counts = {"held": sum(sharded.part_of(m).numel() for m in moments), "whole": sum(m.numel() for m in moments)}
    Path(f"{run_dir}/{rank()}.json").write_text(json.dumps(counts))
leave()
os._exit(0)  # as a worker ends
"""


def configured(folder: Path, *words: str) -> str:
    folder.mkdir()
    composed = without_hydra(Composer("train").compose([*SMALL, *words, f"run_dir={folder}"]))
    OmegaConf.save(composed, folder / "config.yaml", resolve=True)
    return str(folder)


def ended(folder: Path) -> dict[str, Any]:
    """The weights, averages and optimizers that a run ended with."""
    checkpoint = load_checkpoint(RunFolder(folder).last)
    assert checkpoint["images_seen"] == 96
    return {part: checkpoint[part] for part in ("model", "ema", "optimizers")}


def differences(a: Any, b: Any, where: str = "") -> dict[str, float]:
    """The largest difference of each pair of tensors in two nested states, where there is one."""
    if isinstance(a, Tensor):
        assert type(a) is type(b) is Tensor and a.shape == b.shape, where
        unlike = a != b  # so that an infinity is like itself
        return {where: float((a.double() - b.double())[unlike].abs().max())} if unlike.any() else {}
    if not isinstance(a, dict | list):
        assert a == b, where
        return {}
    pairs = a.items() if isinstance(a, dict) else enumerate(a)
    assert len(a) == len(b), where
    return {n: d for name, one in pairs for n, d in differences(one, b[name], f"{where}.{name}").items()}


def figures(folder: Path) -> list[dict[str, float]]:
    rows = [json.loads(line) for line in RunFolder(folder).metrics.read_text().splitlines()]
    return [{n: v for n, v in row.items() if n not in ("stage", "seconds", "images_per_second")} for row in rows]


def drawn(folder: Path) -> list[str]:
    return sorted(path.name for path in RunFolder(folder).samples.rglob("*.*"))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every model trained whole, in `MODEL-ddp`, and in parts, in `MODEL-fsdp`; one of these stopped half-way, and gone
    on with in parts and whole."""
    folder = tmp_path_factory.mktemp("runs")

    def run(name: str, *words: str) -> str:
        return configured(folder / name, *words, f"trainer.strategy={name.rpartition('-')[2]}")

    words = [run(f"{name}-{strategy}", *model) for name, model in MODELS.items() for strategy in ("ddp", "fsdp")]
    words.append(run("stopped-fsdp", *MODELS["vae"]) + "@48")
    words += [run(f"resumed-{way}", *MODELS["vae"], f"resume={folder / 'stopped-fsdp'}") for way in ("ddp", "fsdp")]
    run_together(PROCESS, words, 2)
    return folder


@in_parts
@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_a_model_in_parts_trains_as_a_whole_one(runs: Path, model: str) -> None:
    whole, parts = runs / f"{model}-ddp", runs / f"{model}-fsdp"
    apart = differences(ended(whole), ended(parts))
    assert all(difference < 1e-5 for difference in apart.values()), apart
    for row, other in zip(figures(whole), figures(parts), strict=True):
        assert row == pytest.approx(other, rel=1e-3, abs=1e-4)
    assert drawn(whole) == drawn(parts) != []
    for rank in (0, 1):
        counts = json.loads((parts / f"{rank}.json").read_text())
        assert counts["held"] < 0.6 * counts["whole"]
    assert load(parts).sample(2).isfinite().all()


@in_parts
@pytest.mark.slow
def test_what_was_stopped_goes_on_in_parts_as_never_stopped_and_whole_as_well(runs: Path) -> None:
    assert load_checkpoint(RunFolder(runs / "stopped-fsdp").last)["images_seen"] == 48
    straight = ended(runs / "vae-fsdp")
    assert differences(straight, ended(runs / "resumed-fsdp")) == {}
    apart = differences(straight, ended(runs / "resumed-ddp"))
    assert all(difference < 1e-5 for difference in apart.values()), apart


def test_a_large_layer_is_divided_once_and_what_torch_does_not_call_stays_whole() -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Parameter(torch.zeros(LEAST))
            self.attention = nn.MultiheadAttention(256, 4)  # reads its inner layer's weights without calling it
            self.large, self.small = nn.Linear(LEAST, 1), nn.Linear(LEAST // 2, 1)

    model = Own()
    assert large_layers(model) == [model.attention, model.large]


def test_an_older_torch_is_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(FSDPModule, "reset_iter_state", raising=False)
    with pytest.raises(UserError, match="a newer torch"):
        ShardedWeights()
