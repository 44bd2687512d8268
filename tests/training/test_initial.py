"""init_from= and freeze=: a new run with the weights of another, and weights that are not trained."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from genimg.checkpoints.read import load_checkpoint
from genimg.checkpoints.write import save_checkpoint
from genimg.common.errors import UserError
from genimg.common.run_folder import RunFolder
from genimg.training import fit as train
from tests import trained
from tests.conftest import Answer
from tests.training.test_fit import StopAt, config, same

QUIET = ["~callbacks.validation", "~callbacks.samples", "~callbacks.frechet_random"]
STILL = ["model.lr=1e-12", "budget.images=64", *QUIET]  # four steps that change no weight noticeably
OTHER = {
    "gan": ["data.image_size=16", "data.channels=3", "model.conditional=true"],
    "vae": ["data.image_size=16", "data.channels=3", "model.conditional=true"],
    "rnn": ["data.image_size=16", "data.num_frames=6"],
}


@pytest.fixture(autouse=True)
def info_level(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "genimg")


def source(folder: Path, *words: str) -> dict[str, Any]:
    """Trains a run, so that its weights, their average and the initial ones differ. Returns its best checkpoint."""
    assert train.run(config(folder, "budget.images=320", *words)) == 0
    return load_checkpoint(RunFolder(folder).best)


def begun(folder: Path, *words: str) -> dict[str, Any]:
    """The last checkpoint of a run that leaves its weights nearly as they were."""
    assert train.run(config(folder, *STILL, *words)) == 0
    return load_checkpoint(RunFolder(folder).last)


def near(state: dict[str, torch.Tensor], other: dict[str, torch.Tensor], names: set[str]) -> bool:
    return all(torch.allclose(state[name].float(), other[name].float(), atol=1e-4) for name in names)


def parameters(state: dict[str, torch.Tensor]) -> set[str]:
    """The names of weights that only an optimizer changes: not the statistics of batch normalisation."""
    return {name for name in state if not name.startswith(("augment.", "mixture.", "starts.")) and "norm" not in name}


def test_a_new_run_starts_from_the_weights_and_their_average(tmp_path: Path) -> None:
    before = source(tmp_path / "a")
    files = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in (tmp_path / "a").rglob("*.*")}
    after = begun(tmp_path / "b", f"init_from={tmp_path / 'a'}")
    assert near(after["model"], before["model"], parameters(before["model"]))
    averaged = parameters(before["ema"])
    assert near(after["ema"], before["ema"], averaged) and not near(after["ema"], after["model"], averaged)
    assert (before["images_seen"], after["images_seen"]) == (320, 64), "a new clock"
    assert {int(state["step"]) for one in after["optimizers"] for state in one["state"].values()} == {4}
    assert files == {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}, "the source is only read"


@pytest.mark.parametrize("part", ["model", "ema"])
def test_weights_that_are_not_finite_are_refused(part: str, tmp_path: Path) -> None:
    before = source(tmp_path / "a")
    before[part]["generator.fc.weight"][0, 0] = float("nan")
    save_checkpoint(RunFolder(tmp_path / "a").best, before)
    with pytest.raises(UserError, match=r"init_from: got .*\n.*finite weights, unlike generator.fc.weight"):
        train.run(config(tmp_path / "b", *STILL, f"init_from={tmp_path / 'a'}"))


def test_the_average_may_replace_the_weights(tmp_path: Path) -> None:
    before = source(tmp_path / "a")
    after = begun(tmp_path / "b", f"init_from={tmp_path / 'a'}", "init_weights=ema")
    averaged = parameters(before["ema"])
    assert near(after["model"], before["ema"], averaged) and near(after["ema"], before["ema"], averaged)
    assert near(after["model"], before["model"], parameters(before["model"]) - averaged)


@pytest.mark.parametrize("model", ["gan", "vae", "rnn"])
def test_weights_that_do_not_fit_keep_their_initial_values_and_are_named(
    model: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = trained.checkpoint(f"model={model}")
    for name in parameters(before["model"]):
        before["model"][name].add_(0.5)  # no initial value
    save_checkpoint(tmp_path / "other.pt", before)
    words = [f"model={model}", "++model.hidden=16", *OTHER[model]]
    fresh = begun(tmp_path / "a", *words)["model"]
    after = begun(tmp_path / "b", *words, f"init_from={tmp_path / 'other.pt'}")["model"]
    names = parameters(after)
    fitting = {n for n in names if n in before["model"] and before["model"][n].shape == after[n].shape}
    assert 0 < len(fitting) < len(names)
    assert near(after, before["model"], fitting) and near(after, fresh, names - fitting)
    (told,) = (message for message in caplog.messages if message.startswith("init "))
    assert f"of {tmp_path / 'other.pt'} at 0 images; not " in told
    named, _, more = told.partition("; not ")[2].partition(" and ")
    assert set(named.split(", ")) <= after.keys() - fitting
    assert len(named.split(", ")) == 4 if more else len(names - fitting) == 3


def test_what_belongs_to_the_other_run_is_not_taken(tmp_path: Path) -> None:
    """The start images of an RNN, and the adaptive probability of an augmentation."""
    clips = trained.checkpoint("model=rnn")
    clips["model"]["starts.count"].fill_(3)
    images = trained.checkpoint("model.augmentation=ada")
    images["model"]["augment.probability.p"].fill_(0.7)
    for name, content in (("rnn", clips), ("gan", images)):
        save_checkpoint(tmp_path / f"{name}.pt", content)
    after = begun(tmp_path / "a", "model=rnn", f"init_from={tmp_path / 'rnn.pt'}")["model"]
    assert int(after["starts.count"]) > 3
    after = begun(tmp_path / "b", "model.augmentation=ada", f"init_from={tmp_path / 'gan.pt'}")["model"]
    assert float(after["augment.probability.p"]) < 0.1


def test_a_checkpoint_of_which_nothing_fits_is_an_error(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "vae.pt", trained.checkpoint("model=vae"))
    with pytest.raises(UserError, match=r"init_from: got .*vae\.pt\n.*generator\..*\n.*encoder\."):
        train.run(config(tmp_path / "run", *STILL, f"init_from={tmp_path / 'vae.pt'}"))


@pytest.mark.parametrize("model", ["gan", "vae"])
def test_a_resumed_run_equals_an_uninterrupted_one_and_reads_no_other_run(model: str, tmp_path: Path) -> None:
    other = tmp_path / "other"
    source(other, f"model={model}", "data.image_size=16")
    frozen = {"gan": "discriminator.backbone.convs", "vae": "encoder"}[model]
    words = [f"model={model}", "budget.images=480", "data.image_size=16", f"init_from={other}", f"freeze=[{frozen}]"]
    straight, stopped = tmp_path / "straight", tmp_path / "stopped"
    assert train.run(config(straight, *words)) == 0
    assert train.run(config(stopped, *words), [StopAt(17, 15)]) == 143
    shutil.rmtree(other)
    assert train.run(config(stopped, *words, f"resume={stopped}")) == 0
    ends = [load_checkpoint(RunFolder(folder).last) for folder in (straight, stopped)]
    for part in ("model", "ema", "optimizers", "processes", "images_seen"):
        assert same(ends[0][part], ends[1][part]), part
    assert ends[1]["config"]["init_from"] == str(other)


def test_a_dry_run_of_a_resumed_run_reads_no_other_run(tmp_path: Path) -> None:
    words = ["dry_run=true", "budget.images=64", f"resume={tmp_path}", f"init_from={tmp_path / 'nowhere.pt'}"]
    assert train.run(config(tmp_path, *words)) == 0


@pytest.mark.parametrize(
    ("model", "pattern", "prefix"),
    [
        ("gan", "discriminator.backbone.convs.0", "discriminator.backbone.convs.0."),
        ("gan", "generator.mapping.*.weight", "generator.mapping."),
        ("vae", "encoder", "encoder."),
    ],
)
def test_frozen_parameters_stay_bit_for_bit_and_the_others_train(
    model: str, pattern: str, prefix: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    words = [f"model={model}", "data.image_size=16", f"freeze=[{pattern}]", "model.final_lr=1", *QUIET]
    ends = []
    for images in (16, 160):
        assert train.run(config(tmp_path / str(images), *words, f"budget.images={images}")) == 0
        ends.append(load_checkpoint(RunFolder(tmp_path / str(images)).last)["model"])
    names = parameters(ends[0])
    frozen = {name for name in names if name.startswith(prefix) and not ("*" in pattern and name.endswith("bias"))}
    still = {name for name in names if same(ends[0][name], ends[1][name])}
    assert frozen and still - {"discriminator.to_logit.bias"} == frozen, (
        "a relativistic loss has no gradient of that bias"
    )
    assert any(message.startswith(f"frozen    {len(frozen)} of ") for message in caplog.messages)


def test_a_pattern_that_matches_nothing_is_an_error_with_the_nearest_name(tmp_path: Path) -> None:
    for given, hint in (
        ("discriminator.bakbone.convs.0", "did you mean discriminator.backbone.convs.0?"),
        ("discriminator.backbone.convs.0.wieght", "did you mean discriminator.backbone.convs.0.weight?"),
        ("encoder", "one of generator, discriminator"),
    ):
        with pytest.raises(UserError) as mistake:
            train.run(config(tmp_path, *STILL, "data.image_size=16", f"freeze=[{given}]"))
        assert (mistake.value.key, mistake.value.got, mistake.value.hint) == ("freeze", given, hint)


def test_something_is_left_to_train_for_each_optimizer(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"freeze: got \[discriminator\]\n.*left to train"):
        train.run(config(tmp_path, *STILL, "freeze=[discriminator]"))


def test_frozen_parameters_may_be_trained_later(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """With allow_changes=true: the optimizer has no state of them yet."""
    words = ["data.image_size=16", *QUIET]
    name = "discriminator.backbone.convs.0.weight"
    assert train.run(config(tmp_path, *words, "budget.images=32", f"freeze=[{name}]")) == 0
    before = load_checkpoint(RunFolder(tmp_path).last)["model"]
    assert train.run(config(tmp_path, *words, "budget.images=64", f"resume={tmp_path}", "allow_changes=true")) == 0
    assert not same(load_checkpoint(RunFolder(tmp_path).last)["model"][name], before[name])
    assert any(message.startswith("changed   freeze ") for message in caplog.messages)


def test_the_command_that_finds_nothing_to_take_writes_nothing(tmp_path: Path, command: Callable[..., Answer]) -> None:
    save_checkpoint(tmp_path / "vae.pt", trained.checkpoint("model=vae"))
    answer = command("init_from=vae.pt", "trainer=cpu", "budget.images=64")
    assert (answer.code, "init_from: got" in answer.err, "Traceback" in answer.err) == (2, True, False)
    assert [path.name for path in tmp_path.iterdir()] == ["vae.pt"]
