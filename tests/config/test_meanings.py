"""Words of Lightning and of templates for it mean settings of this project."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from genimg.common.errors import UserError
from genimg.config.compose import Composer
from genimg.config.meanings import MEANINGS, translate
from genimg.launch.session import Session, check
from tests.pages import read_page

EXAMPLES = {
    "trainer.max_epochs=3": "budget.epochs=3",
    "+trainer.max_epochs=3": "budget.epochs=3",
    "trainer.max_epochs=-1": "budget.epochs=null",
    "trainer.max_steps=1000": "budget.steps=1000",
    "trainer.max_epochs=1,-1": "budget.epochs=1,null",
    "trainer.precision=32,bf16": "trainer.precision=32-true,bf16-mixed",
    "hydra.run.dir=runs/first": "run_dir=runs/first",
    "logger=False": "logger=none",
    'trainer.max_time={"hours":2}': "budget.minutes=120",
    "trainer.max_time=00:01:30:00": "budget.minutes=90",
    "trainer.max_time='01:00:00:30'": "budget.minutes=1440.5",
    "trainer.max_time={hours:2,minutes:30}": "budget.minutes=150",
    "+trainer.fast_dev_run=true": "dry_run=true",
    "+trainer.fast_dev_run=False": "dry_run=false",
    "trainer.fast_dev_run=7": "dry_run=true",
    "trainer.limit_train_batches=20": 'data.limit="${times:20,${data.batch_size}}"',
    "trainer.limit_train_batches=1": 'data.limit="${times:1,${data.batch_size}}"',
    "trainer.limit_train_batches=0.25": "data.limit=0.25",
    "trainer.overfit_batches=2": 'data.limit="${times:2,${data.batch_size}}"',
    "trainer.limit_val_batches=2": 'callbacks.validation.num_images="${times:2,${data.batch_size}}"',
    "trainer.log_every_n_steps=5": "log_every_steps=5",
    "trainer.default_root_dir=runs": "outputs=runs",
    "trainer.accelerator=cuda": "trainer.accelerator=gpu",
    "trainer.devices=[0,1]": "trainer.devices=2",
    "trainer.devices=-1": "trainer.devices=auto",
    "trainer.precision=bf16": "trainer.precision=bf16-mixed",
    "trainer.precision=16": "trainer.precision=16-mixed",
    "trainer.precision=32": "trainer.precision=32-true",
    "ckpt_path=last": "resume=last",
    "ckpt_path=null": "resume=null",
    "logger=null": "logger=none",
    "callbacks=null": "callbacks=none",
}


@pytest.mark.parametrize(("theirs", "ours"), EXAMPLES.items())
def test_a_word_is_replaced_by_ours_with_a_note_that_says_so(theirs: str, ours: str) -> None:
    words, notes = translate(["model=vae", theirs, "seed=3"], "train")
    assert words == ["model=vae", ours, "seed=3"]
    assert notes == [f"{theirs} means {ours}"]


NEEDLESS = [
    "trainer.num_sanity_val_steps=0",
    "+trainer.enable_model_summary=false",
    "trainer.limit_train_batches=1.0",
    "trainer.limit_val_batches=1.0",
    "trainer.overfit_batches=0.0",
]


@pytest.mark.parametrize("word", NEEDLESS)
def test_a_word_without_effect_is_dropped_with_a_note(word: str) -> None:
    words, (note,) = translate(["model=vae", word], "train")
    assert words == ["model=vae"]
    assert note.startswith(f"{word} changes nothing: ")


@pytest.mark.parametrize(
    "word", ["trainer.limit_val_batches=0.5", "trainer.limit_train_batches=0", "trainer.overfit_batches=x"]
)
def test_a_limit_that_is_none_is_one_message(word: str) -> None:
    with pytest.raises(UserError, match="a number of batches") as mistake:
        translate([word], "train")
    assert mistake.value.key == word.partition("=")[0]


def test_gpus_in_the_middle_are_chosen_by_a_variable() -> None:
    with pytest.raises(UserError) as mistake:
        translate(["trainer.devices=[1,3]"], "train")
    assert mistake.value.hint == "CUDA_VISIBLE_DEVICES=1,3 genimg-train trainer.devices=2"


def test_a_limit_in_batches_is_one_in_items() -> None:
    config = check(Composer("train"), translate(["data.batch_size=8", "trainer.limit_train_batches=20"], "train")[0])
    assert config.data.limit == 160


def test_the_page_shows_what_every_word_means() -> None:
    rows = re.findall(r"^\| `(\S+)` \| `(\S+)` \|$", read_page("docs/lightning.md"), re.MULTILINE)
    for theirs, ours in rows:
        assert translate([theirs], "train") == ([ours], [f"{theirs} means {ours}"])
    assert {theirs.partition("=")[0] for theirs, _ in rows} == set(MEANINGS["train"])


@pytest.mark.parametrize(
    "word",
    [
        "trainer.accelerator=cpu",
        "trainer.devices=2,1",
        "trainer.devices=auto",
        "trainer.precision=bf16-mixed",
        "logger=csv",
        "logger",
        "+a.b=1",
    ],
)
def test_other_words_stay_as_they_are(word: str) -> None:
    assert translate([word], "train") == ([word], [])


@pytest.mark.parametrize(
    "time",
    [
        "soon",
        "12:00",
        "{fortnights:1}",
        "{}",
        "{hours:1.2.3}",
        "{hours:1e2}",
        "{minutes:30,hours:-2}",
        "{hours:2",
        "00:00:00:00",
    ],
)
def test_a_time_that_lightning_does_not_know_is_an_error(time: str) -> None:
    with pytest.raises(UserError, match=r"trainer.max_time.*\n.*DD:HH:MM:SS"):
        translate([f"trainer.max_time={time}"], "train")


def test_a_checkpoint_is_the_run_of_a_task_that_reads_one_and_other_words_are_not_its() -> None:
    assert translate(["ckpt_path=last", "trainer.max_epochs=3"], "sample")[0] == ["run=last", "trainer.max_epochs=3"]


def test_a_switch_that_is_neither_on_nor_off_is_an_error() -> None:
    with pytest.raises(UserError, match=r"trainer.fast_dev_run.*\n.*true, false or a number"):
        translate(["trainer.fast_dev_run=off"], "train")


def test_the_note_precedes_an_error_about_the_meaning(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match=r"budget\.epochs: got abc"):
        Session("train", ["trainer.max_epochs=abc"], None).run("job", resolve=True)
    assert capsys.readouterr().err == "note      trainer.max_epochs=abc means budget.epochs=abc\n"


def test_the_command_composes_what_the_words_mean(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["model=vae", "trainer.max_steps=7", "logger=null", "+trainer.fast_dev_run=true"]
    assert Session("train", words, None).run("job", resolve=True) == 0
    shown = OmegaConf.create(capsys.readouterr().out)
    assert shown.budget == {"images": None, "epochs": None, "steps": 7, "minutes": None}
    assert shown.dry_run
    assert shown.logger == {}


@pytest.mark.slow
def test_a_run_of_lightnings_steps_prints_what_they_mean_and_ends_after_them(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = [
        "model=vae", "model.width=4", "data.image_size=8", "data.batch_size=16", "trainer=cpu", "trainer.threads=1",
        "callbacks=null", f"trainer.default_root_dir={tmp_path}", "trainer.max_steps=5",
    ]  # fmt: skip
    assert Session("train", words, None).run(None, resolve=False) == 0
    said = capfd.readouterr()
    assert "note      trainer.max_steps=5 means budget.steps=5\n" in said.err
    assert "trained   80 images" in said.out + said.err
    (command,) = tmp_path.glob("*/*/command.txt")
    assert "budget.steps=5" in command.read_text()
    assert Session("train", [f"resume={command.parent}"], None).run(None, resolve=False) == 2
    assert "budget is spent" in capfd.readouterr().err
