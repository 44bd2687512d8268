"""Two processes on the processor: what they share, what they do not, and that together they are one."""

from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf

from genimg.checkpoints import load_checkpoint
from genimg.config.compose import Composer, without_hydra
from genimg.runs import RunFolder
from tests.together import run_together

SMALL = [
    "data.image_size=8", "data.batch_size=16", "model.width=4", "model.latent_dim=4",
    "trainer=cpu", "trainer.threads=1", "trainer.precision=32-true", "logger=none", "callbacks=none",
    "budget.images=96",
]  # fmt: skip

# One process of a run, as torchrun would start it; its noise is a function of the picture where `noise` says so, so
# that two halves of a batch can be compared with the whole. Leaves the weights that it ended with.
PROCESS = """
import sys, torch
from pathlib import Path
from omegaconf import OmegaConf
from genimg.models.gan import GAN
from genimg.models import vae
from genimg.ranks import rank
from genimg.tasks import train

torch.set_num_threads(1)
config = OmegaConf.to_container(OmegaConf.load(sys.argv[1]))
model_of, noise = {}, sys.argv[2]

if noise == "shared":
    world = config["trainer"]["devices"]
    steps = iter(range(10**6))
    def latents(self, count, *, generator=None):
        table = torch.randn(count * world, self.latent_dim, generator=torch.Generator().manual_seed(next(steps)))
        return table[rank()::world]
    GAN.sample_latents = latents
    vae.reparameterise = lambda mean, log_var, noise: mean
    # Adam divides a gradient by its size, and makes a whole step of a rounding error
    def descend(self):
        found = [torch.optim.SGD(network.parameters(), 0.01) for network in self.networks().values()]
        return found[::-1] if isinstance(self, GAN) else torch.optim.SGD(self.parameters(), 1e-5)
    GAN.configure_optimizers = vae.VAE.configure_optimizers = descend
prepare = train.prepare
def remembering(*given):
    data, model = prepare(*given)
    model_of["it"] = model
    return data, model
train.prepare = remembering
train.draw_samples = train.leave_report = lambda *given: None
code = train.run(config)
torch.save({"model": model_of["it"].state_dict(), "random": torch.get_rng_state()}, f"{sys.argv[1]}.{rank()}")
sys.exit(code)
"""


def config_file(folder: Path, *words: str) -> Path:
    folder.mkdir(parents=True)
    composed = without_hydra(Composer("train").compose([*SMALL, *words, f"run_dir={folder}"]))
    OmegaConf.save(composed, folder / "config.yaml", resolve=True)
    return folder / "config.yaml"


def train_together(config: Path, processes: int, noise: str = "own") -> list[dict[str, Any]]:
    """Runs the processes and returns what each of them ended with, by rank."""
    run_together(PROCESS, [str(config), noise], processes)
    return [torch.load(f"{config}.{rank}") for rank in range(processes)]


MODELS = {
    "gan": ["model=gan", "model.conditional=true"],
    "vae": ["model=vae", "model.likelihood=gaussian"],
    "rnn": ["model=rnn", "data=moving_digits", "data.image_size=16", "data.num_frames=4"],
}


@pytest.mark.slow
@pytest.mark.parametrize("words", MODELS.values(), ids=MODELS)
def test_all_processes_end_with_the_same_weights_and_noise_of_their_own(words: list[str], tmp_path: Path) -> None:
    first, second = train_together(config_file(tmp_path / "run", *words, "trainer.devices=2"), 2)
    assert all(torch.equal(first["model"][name], second["model"][name]) for name in first["model"])
    assert not torch.equal(first["random"], second["random"])
    saved = load_checkpoint(RunFolder(tmp_path / "run").last)
    assert [torch.equal(s["random"], p["random"]) for s, p in zip(saved["processes"], (first, second), strict=True)]
    assert all(torch.equal(saved["model"][name], first["model"][name]) for name in first["model"])


# without what draws random numbers for each picture beside its noise
WHOLE = {"gan": ["model=gan", "model.gamma=[0,0]", "model.augmentation=[]"], "vae": MODELS["vae"]}


@pytest.mark.slow
@pytest.mark.parametrize("words", WHOLE.values(), ids=WHOLE)
def test_two_halves_of_a_batch_train_as_the_whole(words: list[str], tmp_path: Path) -> None:
    ends = []
    for processes in (1, 2):
        config = config_file(tmp_path / str(processes), *words, f"trainer.devices={processes}")
        ends.append(train_together(config, processes, noise="shared")[0]["model"])
    for name, weight in ends[0].items():
        assert torch.allclose(weight, ends[1][name], rtol=1e-5, atol=1e-6), name
