"""Small training runs: files written, resuming, signals and reproducibility."""

import json
import math
import os
import signal
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from omegaconf import OmegaConf
from pytorch_lightning import Callback
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData  # pyright: ignore[reportAttributeAccessIssue]

from genimg.checkpoints.read import load_checkpoint, rebuild_model
from genimg.checkpoints.write import save_checkpoint
from genimg.common.errors import UserError
from genimg.common.noise import Noise
from genimg.common.run_folder import RunFolder
from genimg.config.compose import Composer, without_hydra
from genimg.training import fit as train
from tests.training.measured import TARGET

SMALL = [
    "data.image_size=8", "data.batch_size=16", "model.width=4", "model.max_width=8", "model.latent_dim=4",
    "trainer.accelerator=cpu", "trainer.threads=1", "logger=none", "budget.minutes=null",
    "callbacks.validation.times=2", "callbacks.validation.num_images=32", "callbacks.samples.times=2",
    "callbacks.frechet_random.times=2", "callbacks.frechet_random.num_images=16",
]  # fmt: skip


def config(folder: Path, *overrides: str) -> dict[str, Any]:
    words = [*SMALL, f"run_dir={folder}", *overrides]
    composed = without_hydra(Composer("train").compose(words))
    folder.mkdir(parents=True, exist_ok=True)
    OmegaConf.save(composed, folder / "config.yaml", resolve=True)  # as the command does
    return cast(dict[str, Any], OmegaConf.to_container(composed, resolve=True))


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in RunFolder(folder).metrics.read_text().splitlines()]


def untimed(folder: Path) -> list[dict[str, Any]]:
    """Returns the rows of a run without measured times."""
    return [{n: v for n, v in row.items() if n not in ("seconds", "images_per_second")} for row in rows(folder)]


def same(a: Any, b: Any) -> bool:
    """Returns whether two nested states are equal, bit for bit."""
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


def test_a_run_writes_checkpoints_samples_metrics_and_a_report(tmp_path: Path) -> None:
    assert (
        train.run(config(tmp_path, "budget.images=160", "log_every_steps=4", "callbacks.frechet_random.num_images=4"))
        == 0
    )
    folder = RunFolder(tmp_path)
    checkpoint = load_checkpoint(folder.last)
    assert checkpoint["images_seen"] == 160
    assert folder.best.exists()
    assert (folder.samples / "final" / "sheet.png").exists()
    assert sorted(path.name for path in (folder.samples / "during").iterdir()) == [
        "000000080-augmented.png",
        "000000080.png",
        "000000160-augmented.png",
        "000000160.png",
    ]
    trained = [row for row in rows(tmp_path) if row["stage"] == "train"]
    assert [row["images_seen"] for row in trained] == [64, 80, 144, 160]  # every 4 steps, and at each validation
    assert {"loss_d", "loss_g", "lr", "images_per_second"} <= trained[0].keys()
    assert [(row["images_seen"], row["n"]) for row in rows(tmp_path) if "frechet_random" in row] == [(80, 4), (160, 4)]
    assert (folder.samples / "final" / "interpolation.gif").exists() and folder.report.exists()
    best = load_checkpoint(folder.best)
    value = best["metrics"]["val_frechet_random"]
    kept = {"name": "frechet_random", "value": value, "direction": "min", "n": 4}
    assert json.loads(folder.best_metric.read_text()) == {**kept, "images_seen": best["images_seen"]}
    model = rebuild_model(checkpoint)
    images = model.sample(Noise.of_first(2, 0))
    assert images.shape == (2, 1, 8, 8) and images.abs().max() <= 1


def test_learning_rates_that_differ_are_named_after_their_networks(tmp_path: Path) -> None:
    """Equal learning rates are one metric."""
    words = ["budget.images=16", "model.discriminator_optimizer.lr=4e-3", "model.generator_optimizer.lr=1e-3"]
    assert train.run(config(tmp_path / "a", *words)) == 0
    assert train.run(config(tmp_path / "b", "budget.images=16")) == 0
    (differ,), (same,) = ([row for row in rows(tmp_path / run) if row["stage"] == "train"] for run in "ab")
    assert differ["lr_discriminator"] == pytest.approx(4 * differ["lr_generator"]) and "lr" not in differ
    assert "lr" in same and not any(name.startswith("lr_") for name in same)


def test_tensorboard_has_hyperparameters_and_final_metrics(tmp_path: Path) -> None:
    """The HPARAMS tab needs the values of the session and a scalar for each final metric."""
    for seed in (0, 1):
        words = ["logger=tensorboard", "budget.images=64", f"seed={seed}", f"model.lr={seed + 1}e-3"]
        assert train.run(config(tmp_path / str(seed), *words)) == 0
        events = EventAccumulator(str(RunFolder(tmp_path / str(seed)).tensorboard)).Reload()
        content = events.PluginTagToContent("hparams")
        session = HParamsPluginData.FromString(content["_hparams_/session_start_info"]).session_start_info
        assert session.hparams["seed"].number_value == seed
        assert session.hparams["model/lr"].number_value == pytest.approx((seed + 1) * 1e-3)
        assert not any(name.endswith("_target_") for name in session.hparams)
        assert "data/seed" not in session.hparams, "it is the same as seed"
        assert "_hparams_/experiment" not in content, "it would show all runs by the settings and metrics of one"
        named = {tag for tag in events.Tags()["scalars"] if tag.startswith("final/")}
        measured = {"final/frechet_random", "final/frechet_random_n", "final/variance_ratio", "final/real_logits"}
        assert named == measured | {"final/images_seen"}
        last = [row for row in rows(tmp_path / str(seed)) if "frechet_random" in row][-1]
        (final,) = events.Scalars("final/frechet_random")
        assert final.value == pytest.approx(last["frechet_random"]) and final.step == 64
        assert all(math.isfinite(event.value) for tag in named for event in events.Scalars(tag))


def test_the_same_seed_repeats_the_run_and_another_does_not(tmp_path: Path) -> None:
    ends = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        train.run(config(tmp_path / name, "budget.images=64", f"seed={seed}"))
        ends.append(load_checkpoint(RunFolder(tmp_path / name).last)["model"])
    assert same(ends[0], ends[1])
    assert not same(ends[0], ends[2])


class StopAt(Callback):
    """Sends this process a signal at a step."""

    def __init__(self, step: int, number: int) -> None:
        self.step, self.number = step, number

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        if batch_idx == self.step:
            os.kill(os.getpid(), self.number)


# with buffers that training updates
RESNET = ["model/network=resnet", "model.attention=4", "model.spectral_generator=true"]
STYLEGAN2 = ["model/network=stylegan2", "model.style_mixing=0.9", "model.path_length=2.0"]
AVERAGES = ["ema.sigma_rel=[0.05,0.2]", "model.weight_norm=true"]
HALF = ["trainer.precision=16-mixed", "trainer.accumulate_grad_batches=2", "data.batch_size=8"]
SCHEDULED = ["model.beta2=[0.5,0.99]", "model.gamma=[1,0.1]", "ema.half_life=[0,1000]", "ema.ramp=1"]


@pytest.mark.parametrize(
    ("number", "exit_code", "network"),
    [
        (signal.SIGINT, 130, AVERAGES),
        (signal.SIGINT, 130, HALF),
        (signal.SIGTERM, 143, RESNET),
        (signal.SIGHUP, 143, STYLEGAN2),
        (signal.SIGUSR1, 143, SCHEDULED),
    ],
)
def test_a_run_stopped_by_a_signal_and_resumed_equals_one_that_was_not(
    tmp_path: Path, number: int, exit_code: int, network: list[str]
) -> None:
    # more than an epoch, with an adaptive probability
    budget = ["budget.images=1920", "data.flip=true", "model.augmentation=ada", *network]
    straight, stopped = tmp_path / "straight", tmp_path / "stopped"
    assert train.run(config(straight, *budget)) == 0

    assert train.run(config(stopped, *budget), [StopAt(100, number)]) == exit_code
    assert load_checkpoint(RunFolder(stopped).last)["images_seen"] == 101 * 16
    assert train.run(config(stopped, *budget, f"resume={stopped}")) == 0

    ends = [load_checkpoint(RunFolder(folder).last) for folder in (straight, stopped)]
    assert float(ends[0]["model"]["augment.probability.overfitting"]) != 0
    assert bool(ends[0]["scaler"]) == (network is HALF)
    for part in ("model", "ema", "averages", "optimizers", "scaler", "processes", "images_seen"):
        assert same(ends[0][part], ends[1][part]), part
    for name in ends[0]["ema"]:
        if name.endswith(".noise"):
            assert same(ends[0]["ema"][name], ends[0]["model"][name]), "an average of constants"
    assert untimed(straight) == untimed(stopped), "the same rows, without gaps or duplicates"
    sheets = [(folder / "samples" / "final" / "sheet.png").read_bytes() for folder in (straight, stopped)]
    assert sheets[0] == sheets[1]


def test_the_best_of_several_averages_is_measured_sampled_and_saved(tmp_path: Path) -> None:
    words = ["budget.images=480", "callbacks.frechet_random.num_images=4", "ema.sigma_rel=[0.05,0.1,0.25]"]
    assert train.run(config(tmp_path, *words)) == 0
    last, best = (load_checkpoint(file) for file in (RunFolder(tmp_path).last, RunFolder(tmp_path).best))
    measured = [row for row in rows(tmp_path) if "frechet_random" in row]
    values = [{width: row[f"frechet_random_{width}"] for width in ("0.05", "0.1", "0.25")} for row in measured]
    assert len(measured) == 2
    assert all(len(set(row.values())) == 3 for row in values), "three different averages"
    assert [row["frechet_random"] for row in measured] == [min(row.values()) for row in values]
    assert last["averages"]["chosen"] == min(values[-1], key=values[-1].__getitem__)
    for checkpoint in (last, best):
        others = checkpoint["averages"]["others"]
        assert len(others) == 2 and not any(same(checkpoint["ema"], other) for other in others.values())


def test_an_average_that_is_added_on_resume_begins_as_the_chosen_one(tmp_path: Path) -> None:
    train.run(config(tmp_path, "budget.images=160"))
    before = load_checkpoint(RunFolder(tmp_path).last)
    added = ["ema.sigma_rel=[0.05]", "budget.images=176", "model.lr=1e-9", f"resume={tmp_path}", "allow_changes=true"]
    assert train.run(config(tmp_path, *added)) == 0
    after = load_checkpoint(RunFolder(tmp_path).last)
    names = [name for name in before["ema"] if name.endswith(".weight")]
    distances = [
        sum(float((checkpoint["ema"][name] - before["model"][name]).square().sum()) for name in names)
        for checkpoint in (before, after)
    ]
    assert 0 < distances[1] < distances[0], "some steps nearer to the weights, which hardly changed"


def test_validation_frechet_random_and_samples_do_not_change_training(tmp_path: Path) -> None:
    train.run(config(tmp_path / "with", "budget.images=160"))
    silent = ["~callbacks.validation", "~callbacks.samples", "~callbacks.frechet_random"]
    train.run(config(tmp_path / "without", "budget.images=160", *silent))
    ends = [load_checkpoint(RunFolder(tmp_path / name).last) for name in ("with", "without")]
    assert same(ends[0]["model"], ends[1]["model"])


def test_a_spent_budget_is_an_error_with_a_larger_one_as_hint(tmp_path: Path) -> None:
    train.run(config(tmp_path, "budget.images=32"))
    with pytest.raises(UserError, match=r"budget.images=64"):
        train.run(config(tmp_path, "budget.images=32", f"resume={tmp_path}"))


def test_a_run_killed_while_it_drew_its_final_samples_draws_them_on_resume(tmp_path: Path) -> None:
    train.run(config(tmp_path, "budget.images=32"))
    folder = RunFolder(tmp_path)
    folder.report.unlink()
    (folder.samples / "final" / "sheet.png").unlink()
    trained = folder.last.read_bytes()
    assert train.run(config(tmp_path, "budget.images=32", f"resume={tmp_path}")) == 0
    assert folder.report.exists() and (folder.samples / "final" / "sheet.png").exists()
    assert folder.last.read_bytes() == trained


def test_a_nan_metric_is_not_the_best(tmp_path: Path) -> None:
    train.run(config(tmp_path, "budget.images=160", "callbacks.frechet_random.num_images=4", f"{TARGET}.NotANumber"))
    assert not RunFolder(tmp_path).best.exists()
    assert [row["frechet_random"] for row in rows(tmp_path) if "frechet_random" in row] == [None, None]


def test_a_user_defined_network_trains_and_draws_samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mynets.py").write_text(
        "from genimg.models.networks.slim import Generator\nclass Mine(Generator):\n    pass\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    run = tmp_path / "run"
    assert train.run(config(run, "budget.images=32", "model.generator._target_=mynets.Mine")) == 0
    assert (run / "samples" / "final" / "sheet.png").exists()


def test_a_resumed_run_builds_no_untrusted_class(tmp_path: Path) -> None:
    train.run(config(tmp_path, "budget.images=32"))
    for harm in (
        "model.generator._target_=tests.stub_models.StubGenerator",
        "+callbacks.evil._target_=tests.stub_models.StubGenerator",
        "model.generator.shape.width=1000000000",
    ):
        with pytest.raises(UserError, match=r"tests\.stub_models|model\.generator"):
            train.run(config(tmp_path, "budget.images=64", f"resume={tmp_path}", harm))
    best = load_checkpoint(RunFolder(tmp_path).best)
    best["config"]["model"]["generator"]["_target_"] = "tests.stub_models.StubGenerator"
    save_checkpoint(RunFolder(tmp_path).best, best)
    with pytest.raises(UserError, match=r"tests\.stub_models"):  # at its end, when it draws samples
        train.run(config(tmp_path, "budget.images=64", "~callbacks.frechet_random", f"resume={tmp_path}"))


def test_other_data_are_refused_on_resume(tmp_path: Path) -> None:
    train.run(config(tmp_path, "budget.images=32"))
    with pytest.raises(UserError, match="the data of the run"):
        train.run(config(tmp_path, "budget.images=64", f"resume={tmp_path}", "data.val_fraction=0.2"))


def test_a_dry_run_prints_the_configuration_and_leaves_no_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = config(tmp_path, "dry_run=true", "budget.images=64") | {"run_dir": None}  # shorter than the timing
    assert train.run(settings) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]
    assert "image_size: 8" in capsys.readouterr().out
