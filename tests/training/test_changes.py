"""allow_changes=true: changed settings take effect on resume and are logged."""

from pathlib import Path

import pytest

from genimg.checkpoints.read import load_checkpoint
from genimg.common.errors import UserError
from genimg.common.run_folder import RunFolder
from genimg.training import fit as train
from tests.training.test_fit import config, rows


@pytest.fixture(autouse=True)
def info_level(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "genimg")


def resumed(folder: Path, *words: str) -> int:
    return train.run(config(folder, f"resume={folder}", "allow_changes=true", *words))


@pytest.mark.parametrize("model", ["gan", "vae"])
def test_a_new_learning_rate_takes_effect_and_the_optimizers_keep_their_state(
    model: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    words = [f"model={model}", "log_every_steps=5", "model.final_lr=1"]
    assert train.run(config(tmp_path, *words, "model.lr=2e-3", "budget.images=160")) == 0
    with pytest.raises(UserError, match=r"a larger budget\n.* budget\.images=320$"):  # a refused resume changes nothing
        resumed(tmp_path, *words, "model.lr=1e-4", "budget.images=160")
    with pytest.raises(UserError, match=r" budget\.images=320$"):  # twice what it has seen
        resumed(tmp_path, *words, "model.lr=1e-4", "budget.images=16")
    assert "changed" not in caplog.text
    assert resumed(tmp_path, *words, "model.lr=1e-4", "budget.images=320") == 0
    logged = [message for message in caplog.messages if message.startswith("changed")]
    assert logged == ["changed   model.lr 0.002 -> 0.0001, from 160 images on"]
    rates = {row["images_seen"]: row["lr"] for row in rows(tmp_path) if row["stage"] == "train"}
    assert rates[160] == pytest.approx(2e-3) and rates[240] == pytest.approx(1e-4)
    for optimizer in load_checkpoint(RunFolder(tmp_path).last)["optimizers"]:
        assert {int(state["step"]) for state in optimizer["state"].values()} == {20}
    # the checkpoint now has the new value, so nothing is logged
    assert train.run(config(tmp_path, *words, "model.lr=1e-4", "budget.images=336", f"resume={tmp_path}")) == 0
    assert caplog.text.count("changed ") == 1


def test_a_changed_response_to_divergence_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert train.run(config(tmp_path, "budget.images=96")) == 0
    assert resumed(tmp_path, "budget.images=160", "health.on_divergence=rollback") == 0
    assert "changed   health.on_divergence stop -> rollback, from 96 images on" in caplog.messages


def test_a_changed_precision_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert train.run(config(tmp_path, "budget.images=96", "trainer.precision=32-true")) == 0
    assert train.run(config(tmp_path, f"resume={tmp_path}", "budget.images=160", "trainer.precision=bf16-mixed")) == 0
    assert "changed   trainer.precision 32-true -> bf16-mixed, from 96 images on" in caplog.messages


def test_changed_data_and_batch_size_are_accepted_and_the_best_checkpoint_starts_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert train.run(config(tmp_path, "budget.images=96")) == 0
    folder = RunFolder(tmp_path)
    best = load_checkpoint(folder.best)
    words = ["data.val_fraction=0.2", "data.batch_size=64", "seed=3", "budget.images=608"]
    assert resumed(tmp_path, *words) == 0
    for change in ("data.val_fraction 0.05 -> 0.2", "data.digest", "data.batch_size 16 -> 64", "seed 0 -> 3"):
        assert caplog.text.count(f"changed   {change}") == 1
    again = load_checkpoint(folder.best)
    assert again["data"]["fingerprint"] != best["data"]["fingerprint"]
    values = [row["frechet_random"] for row in rows(tmp_path) if "frechet_random" in row and row["images_seen"] > 96]
    assert again["metrics"]["val_frechet_random"] == pytest.approx(min(values))


def test_the_best_value_from_another_number_of_images_is_replaced(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Values with different n do not compare: the new one is worse, and still becomes the best."""
    assert train.run(config(tmp_path, "seed=1", "budget.images=640", "callbacks.frechet_random.num_images=8")) == 0
    best = load_checkpoint(RunFolder(tmp_path).best)["metrics"]
    quieter = [
        "callbacks.frechet_random.times=3",
        "callbacks.validation.times=3",
        "callbacks.samples.times=1",
    ]  # from 2 each
    assert resumed(tmp_path, "seed=1", "budget.images=656", "callbacks.frechet_random.num_images=200", *quieter) == 0
    again = load_checkpoint(RunFolder(tmp_path).best)["metrics"]
    assert (best["val_frechet_random_n"], again["val_frechet_random_n"]) == (8, 32)  # 656 images afford no more
    assert again["val_frechet_random"] > best["val_frechet_random"]
    logged = {message.split(",")[0] for message in caplog.messages if message.startswith("changed")}
    changed = {"frechet_random.num_images 8 -> 200", "frechet_random.times 2 -> 3", "validation.times 2 -> 3"}
    assert logged == {f"changed   callbacks.{one}" for one in changed}, "samples are passive"


def test_weights_that_no_longer_fit_are_an_error(tmp_path: Path) -> None:
    assert train.run(config(tmp_path, "budget.images=32")) == 0
    before = RunFolder(tmp_path).last.read_bytes()
    with pytest.raises(UserError, match=r"resume: got .* of shape") as mistake:
        resumed(tmp_path, "model.width=8", "budget.images=64")
    assert mistake.value.key == "resume"
    assert RunFolder(tmp_path).last.read_bytes() == before
