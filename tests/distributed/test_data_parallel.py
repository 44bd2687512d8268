"""Two processes on the CPU: equal weights, different noise, and the same training as one process."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf

from genimg.checkpoints.read import load_checkpoint
from genimg.checkpoints.write import save_checkpoint
from genimg.common.run_folder import RunFolder
from genimg.config.compose import Composer, without_hydra
from tests import trained
from tests.together import run_together

SMALL = [
    "data.image_size=8", "data.batch_size=16", "++model.width=4", "++model.latent_dim=4",
    "trainer=cpu", "trainer.threads=1", "trainer.precision=32-true", "logger=none",
    "budget.images=96",
]  # fmt: skip

# One process, which trains the runs `FILE@NOISE` one after the other and saves their final weights. `shared` noise is a
# function of the image, so that two halves of a batch can be compared with the complete batch.
PROCESS = """
import itertools, os, sys, torch
from omegaconf import OmegaConf
from pytorch_lightning import Callback
from genimg.models.gan import GAN
from genimg.models.variational import VariationalModel
from genimg.models import draw, rnn, vae
from genimg.models.code_rnn import CodeRNN
from genimg.distributed.data_parallel import join, leave
from genimg.common.ranks import rank
from genimg.training import fit as train

torch.set_num_threads(1)
world, model_of = int(os.environ["WORLD_SIZE"]), {}

def share_noise():
    steps = itertools.count()
    def latents(self, count):
        table = torch.randn(count * world, self.latent_dim, generator=torch.Generator().manual_seed(next(steps)))
        return table[rank()::world]
    GAN.draw_latents = latents
    vae.reparameterise = draw.reparameterise = rnn.reparameterise = lambda mean, log_var, noise: mean
    # Adam divides a gradient by its size, so that a rounding error becomes a full step
    def descend(self):
        found = [torch.optim.SGD(network.parameters(), 0.01) for network in self.networks().values()]
        alone = 1e-5 if isinstance(self, VariationalModel) else 0.01
        return found[::-1] if isinstance(self, GAN) else torch.optim.SGD(self.parameters(), alone)
    for model in (GAN, VariationalModel, rnn.RNN, CodeRNN):
        model.configure_optimizers = descend
drawn = {}  # what training drew at random, by function and shape
def record(name):
    draw = getattr(torch, name)
    def recording(*given, **options):
        values = draw(*given, **options)
        if options.get("generator") is None and values.ndim:
            drawn.setdefault((name, tuple(values.shape)), []).append(values.clone())
        return values
    setattr(torch, name, recording)
for name in ("randn", "randn_like", "rand", "randint"):
    record(name)
class Remember(Callback):
    def on_fit_start(self, trainer, pl_module):
        model_of["it"] = pl_module
    def on_train_start(self, trainer, pl_module):
        drawn.clear()
train.draw_samples = train.leave_report = lambda *given: None
join(torch.device("cpu"))
train.join = train.leave = lambda *given: None  # one group for all runs
for word in sys.argv[1:]:
    file, _, noise = word.rpartition("@")
    if noise == "shared":
        share_noise()
    assert train.run(OmegaConf.to_container(OmegaConf.load(file)), [Remember()]) == 0
    state = {"model": model_of["it"].state_dict(), "random": torch.get_rng_state(), "drawn": drawn}
    torch.save(state, f"{file}.{rank()}")
leave()
os._exit(0)  # as a worker ends
"""


def config_file(folder: Path, *words: str) -> Path:
    folder.mkdir(parents=True)
    composed = without_hydra(Composer("train").compose([*SMALL, *words, f"run_dir={folder}"]))
    OmegaConf.save(composed, folder / "config.yaml", resolve=True)
    return folder / "config.yaml"


MODELS = {
    "gan": [
        "model=gan", "model.conditional=true", "model.augmentation=[translation,color]",
        "model.penalty=first_order", "model.penalty_every=1", "model.beta2=[0.5,0.99]",
    ],
    "ada": ["model=gan", "model.augmentation=[ada_blit,ada_geometry,ada_color,ada_cutout]"],
    "wasserstein": ["model=gan", "model.objective=wasserstein", "model.augmentation=[]"],
    "resnet": ["model/network=resnet", "model.conditional=true", "model.attention=4", "model.spectral_generator=true"],
    "stylegan2": [
        "model/network=stylegan2", "model.style_mixing=0.9", "model.path_length=2.0", "model.augmentation=[]",
    ],
    "vae": ["model=vae", "model.likelihood=gaussian"],
    "draw": ["model=draw", "model.hidden=8", "model.glimpses=3", "model.conditional=true"],
    "code_rnn": ["model=code_rnn", "model/network=vq", "model.conditional=true"],
    "rnn": ["model=rnn", "data=moving_digits", "data.image_size=16", "data.num_frames=4"],
}  # fmt: skip
# without random numbers for each image other than the noise
WHOLE = {
    "gan": [
        "model=gan", "model.gamma=0", "model.augmentation=[]", "model.centring=0.01", "ema.half_life=[0,100]",
    ],
    "resnet": [*MODELS["resnet"], "model.augmentation=[]"],
    "vae": MODELS["vae"],
    "draw": MODELS["draw"],
    "code_rnn": ["model=code_rnn"],
    "rnn": MODELS["rnn"],
    # with batch statistics
    "normed": [
        "model=gan", "model.gamma=0", "model.augmentation=[]", "trust=[tests]",
        "model.generator._target_=tests.normed.NormedGenerator",
        "model.discriminator._target_=tests.normed.NormedDiscriminator",
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Each model trained by two processes, in `MODEL`; with shared noise by one and two, in `MODEL-1` and `MODEL-2`."""
    folder = tmp_path_factory.mktemp("runs")
    for processes in (1, 2):
        devices = f"trainer.devices={processes}"
        files = [
            config_file(folder / name, *words, devices, "callbacks=none")
            for name, words in MODELS.items()
            if processes == 2
        ]
        # without the fitted prior, whose axes are not a continuous function of the weights
        measured = [devices, "~callbacks.samples", "~callbacks.progress", "~callbacks.prior"]
        shared = [config_file(folder / f"{name}-{processes}", *words, *measured) for name, words in WHOLE.items()]
        run_together(PROCESS, [*(f"{file}@own" for file in files), *(f"{file}@shared" for file in shared)], processes)
    return folder


# A run that is resumed, in processes that cannot unpickle. Patched before torch copies the names.
PLAIN = """
import pickle
def refuse(*given, **named):
    raise AssertionError("a pickle was read")
pickle.loads = refuse
pickle.Unpickler = type("Unpickler", (pickle.Unpickler,), {"load": refuse})
"""


@pytest.mark.slow
def test_processes_exchange_no_pickles(tmp_path: Path) -> None:
    """Two processes train, measure, save and resume."""
    words = ["model=vae", "trainer.devices=2", "callbacks=default"]
    first = config_file(tmp_path / "run", *words, "budget.images=48")
    run_together(PLAIN + PROCESS, [f"{first}@own"], 2)
    longer = OmegaConf.merge(OmegaConf.load(first), {"resume": str(tmp_path / "run"), "budget": {"images": 96}})
    OmegaConf.save(longer, first)
    run_together(PLAIN + PROCESS, [f"{first}@own"], 2)
    assert load_checkpoint(RunFolder(tmp_path / "run").last)["images_seen"] == 96


@pytest.mark.slow
def test_processes_start_from_the_weights_of_another_run(tmp_path: Path) -> None:
    """With a learning rate that changes nothing, the weights and their average are those of the other run."""
    other = trained.checkpoint("data.image_size=8", "model.hidden=128", "model.max_width=128")
    for state in (other["model"], other["ema"]):
        state["generator.fc.weight"] = torch.full_like(
            state["generator.fc.weight"], 0.5 if state is other["ema"] else 1
        )
    save_checkpoint(tmp_path / "other.pt", other)
    words = ["trainer.devices=2", "callbacks=none", "model.lr=1e-12", f"init_from={tmp_path / 'other.pt'}"]
    run = tmp_path / "run"
    run_together(PROCESS, [f"{config_file(run, *words, 'freeze=[discriminator.backbone]')}@own"], 2)
    saved = load_checkpoint(RunFolder(run).last)
    for part in ("model", "ema"):
        name = "generator.fc.weight"
        assert torch.allclose(saved[part][name], other[part][name], atol=1e-2), part
    first, second = (ended(run, rank)["model"] for rank in (0, 1))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert torch.equal(first["discriminator.backbone.fc.weight"], other["model"]["discriminator.backbone.fc.weight"])


def ended(folder: Path, rank: int = 0) -> dict[str, Any]:
    """The final state of a process of a run."""
    return torch.load(f"{RunFolder(folder).config}.{rank}")


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_processes_end_with_equal_weights_and_different_noise(model: str, runs: Path) -> None:
    first, second = (ended(runs / model, rank) for rank in (0, 1))
    assert all(torch.equal(first["model"][name], second["model"][name]) for name in first["model"])
    saved = load_checkpoint(RunFolder(runs / model).last)
    assert [torch.equal(s["random"], p["random"]) for s, p in zip(saved["processes"], (first, second), strict=True)]
    assert all(torch.equal(saved["model"][name], first["model"][name]) for name in first["model"])
    assert ("augment.probability.p" in first["model"]) == (model == "ada")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "expected"),
    [
        # z, directions of the penalty, shifts, and changes of colour
        ("gan", {("randn", (8, 4)), ("randn", (4, 1, 8, 8)), ("randint", (8, 1)), ("rand", (3, 8, 1, 1, 1))}),
        ("ada", {("randn", (8, 4)), ("rand", (8,)), ("randn", (8,)), ("randint", (8,)), ("randint", (8, 1))}),
        ("wasserstein", {("randn", (8, 4)), ("rand", (2, 1, 1, 1))}),  # z, and places of the penalty
        ("resnet", {("randn", (8, 4))}),  # z
        # z, the second z, the first layer with its styles, noise of the layers, and images of the path lengths
        (
            "stylegan2",
            {
                ("randn", (8, 4)),
                ("randn_like", (8, 4)),
                ("randint", (8, 1)),
                ("randn", (8, 1, 8, 8)),
                ("randn", (4, 1, 8, 8)),
            },
        ),
        ("vae", {("randn", (8, 4))}),
        ("draw", {("randn", (8, 12))}),
        # images without their class, before and after the codes are settled, and new entries of the codebook
        ("code_rnn", {("rand", (2,)), ("rand", (8,)), ("randint", (512,))}),
        ("rnn", {("randn", (8, 4, 4))}),  # of the clip and of each frame
    ],
)
def test_processes_draw_different_noise(model: str, expected: set[Any], runs: Path) -> None:
    first, second = (ended(runs / model, rank)["drawn"] for rank in (0, 1))
    assert first.keys() == second.keys()
    assert expected <= first.keys()
    for name, values in first.items():
        own, other = torch.stack(values).double().flatten(), torch.stack(second[name]).double().flatten()
        assert abs(torch.corrcoef(torch.stack([own, other]))[0, 1]) < 5 * len(own) ** -0.5, name


@pytest.mark.slow
@pytest.mark.parametrize("model", WHOLE)
def test_two_halves_of_a_batch_train_like_the_complete_batch(model: str, runs: Path) -> None:
    whole, halves = (ended(runs / f"{model}-{processes}")["model"] for processes in (1, 2))
    for name, weight in whole.items():
        assert torch.allclose(weight, halves[name], rtol=1e-5, atol=1e-6), name


@pytest.mark.slow
@pytest.mark.parametrize("model", WHOLE)
def test_validation_and_the_best_checkpoint_do_not_depend_on_the_number_of_processes(model: str, runs: Path) -> None:
    def measured(processes: int) -> tuple[dict[str, float], dict[str, Any]]:
        folder = RunFolder(runs / f"{model}-{processes}")
        rows = [json.loads(line) for line in folder.metrics.read_text().splitlines()]
        values = {name: value for row in rows if row["stage"] == "val" for name, value in row.items()}
        return values, json.loads(folder.best_metric.read_text())

    (alone, best), (together, best_together) = measured(1), measured(2)
    for found, expected in ((together, alone), (best_together, best)):
        numbers = {name for name, value in expected.items() if not isinstance(value, str)} - {"seconds"}
        for name in numbers:
            assert found[name] == pytest.approx(expected[name], rel=1e-3, abs=1e-5), name
