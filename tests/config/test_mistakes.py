"""A user's mistake gives exit code 2 and one helpful message, before torch is imported or a file is written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Answer

SLOWEST = 8.0  # times the import of Hydra; a sweep of two jobs takes 4.5

# the words, and what the message must contain: the key, the value, and the repair
MISTAKES: dict[str, tuple[list[str], list[str]]] = {
    "group misspelt": (["modle=vae"], ["modle", "did you mean model=vae?"]),
    "choice misspelt": (
        ["model=gna"],
        ["model", "gna", "gan", "did you mean model=gan?", "configs/train.yaml"],
    ),
    "a service that has ended": (["logger=[csv,neptune]"], ["logger: got neptune", "has ended", "logger=wandb"]),
    "a logger of another package": (["logger=aim"], ["+logger.aim._target_=aim.pytorch_lightning.AimLogger"]),
    "absurd width": (["model.width=1000000000000"], ["model.width", "1 to 16384"]),
    "absurd threads": (["trainer.threads=1000000000"], ["trainer.threads", "1 to 256"]),
    "unknown experiment": (["experiment=nothing"], ["experiment", "nothing"]),
    "choice of another group": (["model=digits"], ["did you mean data=digits?"]),
    "key misspelt": (
        ["model.latnt_dim=3"],
        ["model.latnt_dim=3", "model.latent_dim?", "configs/model/gan.yaml"],
    ),
    "a key of another network": (
        ["model/network=resnet", "model.weight_norm=true"],
        [
            "model.weight_norm",
            "a key of the chosen model/network",
            "model/network=projected or model/network=slim",
        ],
    ),
    "one average as a number": (["ema.sigma_rel=0.1"], ["a list of different numbers above 0", "ema.sigma_rel=[0.1]"]),
    "key behind +": (["+model.latnt_dim=3"], ["+model.latnt_dim=3", "did you mean model.latent_dim?"]),
    "key behind ++": (["++budget.mintes=3"], ["did you mean budget.minutes?"]),
    "key behind ~": (["~callbacks.sample"], ["did you mean ~callbacks.samples?"]),
    "key without its group": (["batch_size=3"], ["did you mean data.batch_size?"]),
    "key of another task": (["rows=3"], ["rows belongs to task=sample"]),
    "key of two other tasks": (["num_images=3"], ["num_images belongs to task=evaluate and task=sample"]),
    "group for an evaluation": (["evaluate", "data=digits"], ["data", "takes its data from the run"]),
    "removing a class": (["~model.generator_optimizer._target_"], ["argument of a class from outside genimg"]),
    "a callback without a class": (["+callbacks.mine.x=1"], ["callbacks.mine._target_", "the class of the part"]),
    "a logger without a class": (["+logger.mine.x=1"], ["logger.mine._target_", "the class of the part"]),
    "removing a key": (["~model.lr"], ["~model.lr", "model.lr=..."]),
    "bare word": (["vae"], ["vae", "did you mean model=vae?"]),
    "no brackets": (["data.image_size=[1,"], ["data.image_size", "key=value"]),
    "several values": (["model.lr=1e-3,1e-4"], ["model.lr", "1e-3,1e-4", "-m"]),
    "text for a number": (
        ["model.lr=abc"],
        ["model.lr", "abc", "a number above 0", "configs/model/gan.yaml"],
    ),
    "fraction for an integer": (["data.batch_size=2.5"], ["data.batch_size", "2.5", "an integer", "_shared.yaml"]),
    "text for a seed": (["seed=abc"], ["seed", "abc", "an integer", "configs/train.yaml"]),
    "text for a flag": (["dry_run=maybe"], ["dry_run", "maybe", "true or false"]),
    "value for a mapping": (["budget=5"], ["budget", "budget.minutes"]),
    "one number for two": (["model=rnn", "data.speed=1"], ["data.speed", "two numbers above 0", "data.speed=[1,1]"]),
    "three ends of a schedule": (["model.gamma=[1,2,3]"], ["model.gamma: got [1, 2, 3]", "one number or [start,end]"]),
    "a mean that never moves": (["model.beta2=[0.9,1]"], ["model.beta2: got [0.9, 1]", "from 0 to 0.9999", "null"]),
    "a negative half-life": (["ema.half_life=[-1,5]"], ["ema.half_life: got [-1, 5]", "one number or [start,end], 0"]),
    "three numbers for two": (["model=rnn", "data.speed=[1,2,3]"], ["data.speed", "two numbers above 0"]),
    "no width": (["model=rnn", "model.least_sigma=0"], ["model.least_sigma", "got 0", "0.1 or more"]),
    "another program's name": (["model.z_dim=3"], ["model.z_dim", "did you mean model.latent_dim?", "gan.yaml"]),
    "another program's name, nested": (
        ["model.generator_optimizer.learning_rate=1"],
        ["did you mean model.generator_optimizer.lr?"],
    ),
    "another program's name without its group": (["max_epochs=3"], ["did you mean budget.epochs?", "train.yaml"]),
    "another program's name of a sample's key": (["sample", "n_samples=3"], ["did you mean num_images?"]),
    "another program's name, of a key of other data": (["data.folder=x"], ["data.root belongs to", "image_folder"]),
    "every frame is given": (["model=convlstm", "data.given_frames=16"], ["data.given_frames", "data.num_frames=32"]),
    "given frames of the model": (["model=rnn", "model.given_frames=2"], ["model.given_frames", "data.given_frames=2"]),
    "a published name of a model": (
        ["model=rnn/convlstm"],
        ["model: got rnn/convlstm", "did you mean model=convlstm?"],
    ),
    "a grid": (
        ["model=rnn", "data=frame_folder", "data.root=.", "data.sheet=8x4"],
        ["data.sheet: got 8x4", "[columns,rows]", "data.sheet=[8,4]"],
    ),
    "labels of several stills": (
        ["model=rnn", "data.stills=2", "model.conditional=true"],
        ["model.conditional", "several still images", "data.stills=1"],
    ),
    "a key of the data that another model has too": (["image_size=32"], ["image_size", "did you mean data.image_size"]),
    "classes of the model": (["model.num_classes=3"], ["model.num_classes", "got 3", "model.conditional=true"]),
    "a precision in half": (
        ["trainer.precision=16-true"],
        ["trainer.precision", "auto, 32-true, bf16-mixed or 16-mixed"],
    ),
    "half on a CPU": (["trainer=cpu", "trainer.precision=16"], ["trainer.precision", "got 16-mixed", "on a CPU"]),
    "a fused step of scaled gradients": (
        ["trainer.precision=16-mixed", "trainer.fused=true"],
        ["trainer.fused", "false"],
    ),
    "too many frames a second": (["sample", "fps=100"], ["fps", "got 100", "from 1 to 50"]),
    "directions, no mapping": (["sample", "directions=pca0"], ["directions", "got pca0", "a mapping"]),
    "strength of a direction": (["sample", "directions={pca0:far}"], ["directions.pca0", "got far", "a number"]),
    "psi": (["sample", "trunc=0.7"], ["trunc", "did you mean truncation_psi?"]),
    "a seed twice": (["sample", "seeds=[1,2-4,3]"], ["seeds", "[1, 2-4, 3]", "each once", "[1,5,9-12]"]),
    "seeds, no list": (["sample", "seeds=9-12"], ["seeds", "seeds=[9-12]"]),
    "one frame": (["sample", "num_frames=1"], ["num_frames", "got 1", "2 or more"]),
    "home of the shell": (["data=image_folder", "data.root=~/pics"], ["data.root=$HOME/pics"]),
    "character of Hydra's": (["data.root=pics~"], ["'data.root=\"pics~\"'"]),
    "number for a folder": (["data=image_folder", "data.root=2024.10"], ["data.root: got 2024.10", "no such folder"]),
    "nothing like it": (["+model.zdmi=3"], ["+model.zdmi=3", "--help lists the keys"]),
    "batch of nothing": (["data.batch_size=0"], ["data.batch_size", "got 0", "1 or more"]),
    "image too small": (
        ["data.image_size=3"],
        ["data.image_size", "got 3", "8 to 256", "data/digits.yaml"],
    ),
    "image too large": (["data.image_size=[32,300]"], ["data.image_size", "[32, 300]", "8 to 256"]),
    "size with an x": (["data.image_size=64x48"], ["64x48", "[height,width]", "[48,64] is 64 wide and 48 high"]),
    "negative step": (["model.lr=-0.1"], ["model.lr", "-0.1", "above 0"]),
    "two channels": (["data.channels=2"], ["data.channels", "1 or 3"]),
    "unknown objective": (
        ["model.objective=hing"],
        ["model.objective", "hinge", "least_squares", "did you mean"],
    ),
    "objective that is not registered": (
        ["model.objective=focal"],
        ["model.objective", "for a user-defined loss see docs/extending.md"],
    ),
    "misspelt augmentation": (
        ["model.augmentation=[translaton,cutout]"],
        ["model.augmentation", "translaton", "ada_blit", "did you mean model.augmentation=[translation,cutout]?"],
    ),
    "misspelt schedule": (["model.lr_schedule=cosin"], ["did you mean model.lr_schedule=cosine?"]),
    "a decay to nothing": (
        ["model.lr_schedule=inverse_sqrt", "model.final_lr=0"],
        ["model.final_lr: got 0", "above 0", "model.final_lr=0.1"],
    ),
    "misspelt padding": (["model.padding=circuler"], ["zeros or circular", "did you mean model.padding=circular?"]),
    "periodic images of a size that does not double": (
        ["model.padding=circular", "data.image_size=[28,50]"],
        ["data.image_size: got [28, 50]", "multiples of 8", "data.image_size=[32,48]"],
    ),
    "periodic images of a VAE": (["model=vae", "model.padding=circular"], ["model.padding", "model=gan"]),
    "misspelt space": (["sample", "project_space=w++"], ["project_space: got w++", "z, w, w+ or null"]),
    "no steps": (["sample", "project_steps=0"], ["project_steps", "got 0", "1 or more"]),
    "a pipeline in a list": (["model.augmentation=[ada]"], ["did you mean model.augmentation=ada?"]),
    "a probability above 1": (["model.augmentation_p=[0,2]"], ["adaptive", "one number or [start,end] from 0 to 1"]),
    "misspelt key of a packaged class": (["+model.discriminator.slope=0.1"], ["an existing key"]),
    "folder missing": (["data=image_folder", "data.root=nowhere"], ["data.root", "nowhere"]),
    "folder not named": (["data=image_folder"], ["data.root"]),
    "folder without images": (["data=image_folder", "data.root=empty"], ["data.root", "empty"]),
    "run missing": (["task=sample", "run=nowhere"], ["run", "nowhere"]),
    "no run yet": (["sample"], ["run", "last", "genimg-train"]),
    "nothing to resume": (["resume=nowhere"], ["resume", "nowhere"]),
    "no images asked for": (["sample", "num_images=0"], ["num_images", "got 0", "from 1 to 10000000"]),
    "unknown task": (["task=smaple"], ["task", "smaple", "did you mean task=sample?"]),
    "network of another model": (["model=vae", "model/network=slim"], ["model/network", "vae: conv"]),
    "network with too many parts": (["model=vae", "model/network=moving_layers"], ["model/network", "vae: conv"]),
    "unknown network": (["model/network=slimm"], ["model/network", "slimm", "did you mean model/network=slim?"]),
    "a penalty with batch statistics": (
        ["model/network=dcgan", "model.gamma=[0.3,0.03]"],
        ["model.gamma", "0.3", "batch statistics", "model.gamma=0"],
    ),
    "a critic with batch statistics": (["model/network=dcgan", "model.objective=wasserstein"], ["model.objective"]),
    "a batch of incomplete groups": (
        ["model/network=stylegan2", "data.batch_size=30"],
        ["model.group_size", "got 4", "a divisor of the 30 images", "data.batch_size=32, or model.group_size=1"],
    ),
    "incomplete groups on each device": (
        ["model/network=stylegan2", "trainer=cpu", "trainer.devices=2", "data.batch_size=28"],
        ["model.group_size", "a divisor of the 14 images", "data.batch_size=32"],
    ),
    "no GPU": (["trainer=gpu"], ["trainer.accelerator", "gpu", "trainer=auto"]),
    "more devices than there are": (["trainer.devices=4"], ["trainer.devices", "4", "trainer.devices=1"]),
    "unequal shares of a batch": (
        ["trainer=cpu", "trainer.devices=3"],
        ["data.batch_size", "64", "a multiple of 3", "data.batch_size=66"],
    ),
    "machines without a rendezvous": (["trainer.num_nodes=2"], ["launch.rdzv_endpoint", "HOST:29400"]),
    "a rendezvous without a port": (
        ["trainer.num_nodes=2", "launch.rdzv_endpoint=first"],
        ["launch.rdzv_endpoint: got first", "HOST:PORT"],
    ),
    "a rendezvous with a wrong port": (["launch.rdzv_endpoint='first:99999'"], ["got first:99999", "1 to 65535"]),
    "a machine too many": (["launch.node_rank=1"], ["launch.node_rank", "1", "trainer.num_nodes=1"]),
    "still images for a sequence model": (["model=rnn", "data=digits"], ["data", "digits", "data=moving_digits"]),
    "sequences for an image model": (["model=gan", "data=moving_digits"], ["data", "moving_digits", "data=digits"]),
    "no budget": (["budget.minutes=null"], ["budget", "budget.minutes=10"]),
    "a folder of a run that holds files": (["run_dir=broken"], ["run_dir: got broken", "a new folder"]),
    "data's folder without its data": (["data.root=pics"], ["data.root=pics", "data=image_folder"]),
    "task misspelt": (["trian"], ["trian", "did you mean genimg train?"]),
    "a flag like no other": (["--foo"], ["--foo", "key=value, without dashes"]),
    "unknown flag": (["--hepl"], ["--hepl", "did you mean --help?"]),
    "no such --config-dir": (["--config-dir", "nowhere"], ["--config-dir", "nowhere"]),
    "YAML that does not parse": (["--config-dir", "broken", "model=mine"], ["broken/model/mine.yaml"]),
    "choice added to the default": (["+model=vae"], ["+model=vae", "model=vae"]),
    "group removed": (["~logger"], ["~logger", "logger=none"]),
    "mapping with a key misspelt": (["budget={imges:5}"], ["budget.imges", "did you mean budget.images?"]),
    "mapping for a number": (["model.lr={a:1}"], ["model.lr"]),
    "not a finite number": (["model.lr=inf"], ["model.lr", "inf", "a number above 0"]),
    "word of Hydra's grammar": (["model==gan"], ["model==gan"]),
    "model for a sample": (["sample", "model=gan"], ["model", "takes its model from the run"]),
    "one class, no list": (["sample", "classes=3"], ["classes", "classes=[3]"]),
    "image missing": (["sample", "start=nowhere.png"], ["run", "last"]),
    "a sweep that Hydra cannot split": (["-m", "model.lr=interval(1,3)"], ["interval(1,3)", "optuna"]),
    "many runs without -m": (["sweep.seeds=3"], ["sweep.seeds", "-m"]),
    "a launcher without -m": (["hydra/launcher=joblib"], ["hydra/launcher", "-m"]),
    "a folder of a run for a sweep": (["-m", "run_dir=mine"], ["run_dir: got mine", "hydra.sweep.dir=mine"]),
    "a key of Hydra that no run reads": (["hydra.job.chdir=true"], ["hydra.job.chdir", "not set"]),
    "a sweep of no seeds": (["-m", "sweep.seeds=0"], ["sweep.seeds", "got 0", "1 or more"]),
    "seeds twice": (["-m", "seed=1", "sweep.seeds=2"], ["seed", "sweep.seeds sets the seeds"]),
    "a sweep of sweeps": (["-m", "sweep.seeds=2,3"], ["sweep.seeds", "2,3", "one value"]),
    "a sweep's key misspelt": (["-m", "sweep.seed=3"], ["sweep.seed=3", "did you mean sweep.seeds?"]),
    "a search of no trials": (
        ["-m", "hydra/sweeper=optuna", "hydra.sweeper.n_trials=0"],
        ["hydra.sweeper.n_trials", "got 0", "1 or more"],
    ),
    "a search for nothing": (["-m", "hydra/sweeper=optuna", "seed=1"], ["a value to search for", "interval("]),
    "no jobs at once": (
        ["-m", "hydra/launcher=joblib", "hydra.launcher.n_jobs=0", "seed=1,2"],
        ["hydra.launcher.n_jobs", "got 0", "1 or more"],
    ),
    "a search beyond the rule": (
        ["-m", "hydra/sweeper=optuna", "model.final_lr=interval(0.1,1.5)"],
        ["model.final_lr", "got 1.5", "from 0 to 1"],
    ),
    "a metric of a template": (["optimized_metric=val/acc"], ["optimized_metric", "the metric that selects"]),
    "no such search": (
        ["hparams_search=gan_optun"],
        ["hparams_search: got gan_optun", "did you mean hparams_search=gan_optuna?"],
    ),
    "two searches": (
        ["hparams_search=gan_optuna,vae_optuna"],
        ["hparams_search: got gan_optuna,vae_optuna", "one value for the sweep"],
    ),
    "a search that is printed": (
        ["hparams_search=gan_optuna", "--cfg", "job"],
        ["--cfg: got job", "omit -m and hparams"],
    ),
    "no such sampler": (
        ["-m", "hydra/sweeper=optuna", "hydra.sweeper.sampler=tpee", "model.lr=interval(1e-4,1e-2)"],
        ["hydra/sweeper/sampler: got tpee", "gp, random, tpe", "did you mean hydra/sweeper/sampler=tpe?"],
    ),
    "no such sweeper": (["-m", "hydra/sweeper=ax", "seed=1,2"], ["hydra/sweeper", "basic or optuna"]),
    "a sweep of another task": (["sample", "-m", "sweep.seeds=3"], ["sweep.seeds"]),
    "no sweep to resume": (["-m", "sweep.resume=empty"], ["sweep.resume", "empty", "sweep.json"]),
    "one run of a sweep": (["-m", "resume=last"], ["resume", "sweep.resume=FOLDER"]),
    "a setting of a search for no search": (
        ["-m", "hydra.sweeper.n_trials=3", "seed=1,2"],
        ["hydra.sweeper.n_trials", "hydra/sweeper=optuna beside it"],
    ),
    "actions of another model": (["model=vae", "model.actions=true"], ["model.actions belongs to model=rnn"]),
    "actions of data without them": (
        ["model=rnn", "model.actions=true"],
        ["model.actions: got true", "moving_digits has none", "actions.csv in data.root"],
    ),
    "actions of the model": (["model=rnn", "model.num_actions=3"], ["model.num_actions: got 3", "expected: 0"]),
    "actions that are no list": (["sample", "actions=left"], ["actions: got left", "a list"]),
    "a world in no folder": (["crafter"], ["out", "out=FOLDER"]),
    "a width for no time": (
        ["model.fit=auto", "budget.images=100"],
        ["budget.minutes", "minutes", "budget.minutes=10"],
    ),
    "a width that is set and chosen": (
        ["model.fit=auto", "model.width=24"],
        ["model.width: got 24", "not set beside model.fit=auto", "configs/model/network/slim.yaml"],
    ),
    "a batch size that is set and chosen": (["model.fit=auto", "data.batch_size=32"], ["data.batch_size: got 32"]),
    "a width of an experiment": (
        ["model.fit=auto", "experiment=cifar10_r3gan", "budget.minutes=5"],
        ["model.width", "configs/experiment/cifar10_r3gan.yaml"],
    ),
    "a fit of another model": (["model=vae", "model.fit=auto"], ["model.fit", "model.fit belongs to model=gan"]),
    "a fit that is no word": (["model.fit=wide"], ["model.fit: got wide", "auto or null", "configs/model/gan.yaml"]),
    "a fit for several processes": (
        ["model.fit=auto", "trainer=cpu", "trainer.devices=2"],
        ["model.fit: got auto", "several processes", "trainer.devices=1"],
    ),
    "a sweep with different widths": (["-m", "model.fit=auto", "seed=1,2"], ["model.fit: got auto", "null in a sweep"]),
    "a sweep with one bad job": (["-m", "model.lr=1e-3,-1"], ["model.lr", "got -1"]),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_answered_with_one_message(name: str, command: Callable[..., Answer], tmp_path: Path) -> None:
    words, told = MISTAKES[name]
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken" / "model").mkdir(parents=True)
    (tmp_path / "broken" / "model" / "mine.yaml").write_text("# Mine\nlr: [1, 2\nwidth: {3\n")
    before = sorted(tmp_path.rglob("*"))

    answer = command(*words, CUDA_VISIBLE_DEVICES="")

    assert answer.code == 2, answer.err
    assert [part for part in told if part not in answer.err] == [], answer.err
    assert answer.err.count("error:") == 1
    assert "Traceback" not in answer.err
    assert answer.out == ""
    assert sorted(tmp_path.rglob("*")) == before, "something was written"
    assert answer.imported == ""


@pytest.mark.parametrize(
    "name", ["choice misspelt", "key misspelt", "a search of no trials", "a sweep with one bad job"]
)
def test_a_mistake_is_answered_quickly(name: str, hydra_imports: Callable[..., float]) -> None:
    assert hydra_imports(*MISTAKES[name][0], below=SLOWEST) < SLOWEST


def test_genimg_trace_shows_the_traceback(command: Callable[..., Answer]) -> None:
    assert "Traceback" in command("model=gna", GENIMG_TRACE="1").err
