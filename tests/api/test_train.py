"""genimg.train and genimg.Run: the command from Python."""

import pickle
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch

import genimg
from genimg.api.settings import words_of
from genimg.common import raised
from genimg.config.meanings import translate
from tests.trained import SMALL, run_folder

KEYS = ["seed", "run_dir", "budget.minutes", "model", "model.gamma", "model/network", "callbacks.validation.times"]


@pytest.mark.parametrize(
    ("name", "value", "word"),
    [
        ("seed", 3, "seed=3"),
        ("budget_minutes", 0.5, "budget.minutes=0.5"),
        ("run_dir", Path("a b"), 'run_dir="a b"'),
        ("model", "vae", "model=vae"),
        ("model_network", "resnet", "model/network=resnet"),
        ("run_dir", 'a "b"', 'run_dir="a \\"b\\""'),
        ("model_latent_dim", None, "model.latent_dim=null"),
        ("model_gamma", [1, 0.5], "model.gamma=[1,0.5]"),
        ("callbacks_validation_times", 1, "callbacks.validation.times=1"),
        ("model_x", {"a": True, "b": ["c"]}, "model.x={a:true,b:[c]}"),
    ],
)
def test_an_argument_is_a_word_of_the_command(name: str, value: Any, word: str) -> None:
    assert words_of({name: value}, KEYS) == [word]


@pytest.mark.parametrize(
    ("words", "settings", "key", "hint"),
    [
        ([], {"budgt_minutes": 1}, "budgt_minutes", "budget_minutes"),
        ([], {"sead": 1}, "sead", "seed"),
        ([], {"seed": object()}, "seed", None),
        ([], {"seed": b"1"}, "seed", None),
        ([], {"model": {"a b": 1}}, "model", None),
        ([], {"log_every_step": 1}, "log_every_step", "log_every_steps"),
        (["-m"], {}, "genimg train", None),
        ([5], {}, "genimg train", None),
        (["task=sample"], {}, "task", None),
        ([], {"task": "sample"}, "task", None),
        (["model=vaee"], {}, "model", "vae"),
        ([], {"model": "vaee"}, "model", "vae"),
        (["trainer.fast_dev_run=true"], {}, "dry_run", "genimg-train dry_run=true"),
    ],
)
def test_a_mistake_is_an_exception(
    words: list[str], settings: dict[str, Any], key: str, hint: str | None, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(genimg.UserError) as mistake:
        genimg.train(*words, **settings)
    assert mistake.value.key == key
    assert hint is None or hint in str(mistake.value.hint)
    assert not list(tmp_path.iterdir())


def test_a_mistake_that_the_worker_finds_is_the_same_exception(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(genimg.UserError, match="at most"):
        genimg.train("data=digits", *SMALL, data_batch_size=5000, trainer_threads=1)
    assert not list(tmp_path.rglob("config.yaml"))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> genimg.Run:
    words = ["model=vae", "data=digits", *SMALL, "model.latent_dim=8", "budget.images=256", "log_every_steps=1"]
    return genimg.Run(run_folder(tmp_path_factory.mktemp("run") / "first", *words))


def test_a_run_gives_what_its_folder_contains(run: genimg.Run) -> None:
    assert torch.equal(run.sample(3, seed=1), genimg.load(run.path).sample(3, seed=1))
    trained = [row for row in run.history if row["stage"] == "train"]
    assert [row["images_seen"] for row in trained] == list(range(64, 257, 64))
    best = run.best
    assert best is not None
    assert best["value"] in [row.get(best["name"]) for row in run.history]
    assert run.report().read_text(encoding="utf-8").startswith("<!")


def test_a_notebook_shows_the_newest_sheet(run: genimg.Run) -> None:
    assert "data:image/png;base64," in run._repr_html_()


def test_only_a_folder_is_a_run(run: genimg.Run) -> None:
    for other in (run.folder.best, run.path.parent / "none"):
        with pytest.raises(genimg.UserError) as mistake:
            genimg.Run(other)
        assert mistake.value.key == "run"


def test_images_of_pillow_have_the_values_of_the_tensor() -> None:
    values = torch.tensor([-1.0, 0.0, 1.0]).view(3, 1, 1, 1).expand(3, 3, 2, 4)
    images = genimg.to_pil(values)
    assert [(image.size, image.getpixel((0, 0))) for image in images] == [
        ((4, 2), (grey,) * 3) for grey in (0, 128, 255)
    ]


def test_sequences_are_no_images() -> None:
    with pytest.raises(genimg.UserError, match="is the first one"):
        genimg.to_pil(torch.zeros(2, 3, 1, 8, 8))


def test_lightnings_words_have_their_meaning() -> None:
    words = words_of({"trainer_accelerator": "cuda", "trainer_max_steps": "3"}, [*KEYS, "trainer.threads"])
    assert translate(words, "train")[0] == ["trainer.accelerator=gpu", "budget.steps=3"]


def test_an_error_is_that_of_the_thread_that_started_the_worker(tmp_path: Path) -> None:
    def environment_of(name: str) -> dict[str, str]:
        with raised.asked_for(tmp_path / name):
            time.sleep(0.1)
            return raised.environment()

    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(environment_of, ["one", "other"]))
    assert [Path(one[raised.VARIABLE]).name for one in found] == ["one", "other"]
    assert raised.environment() == {}


def test_a_failure_can_be_sent_to_another_process() -> None:
    failure = pickle.loads(pickle.dumps(genimg.RunFailed("train", 1, Path("run"))))
    assert (failure.exit_code, failure.run_dir, str(failure)) == (
        1, Path("run"), "genimg train ended with exit code 1; its log is run/train.log",
    )  # fmt: skip


def test_lightnings_loader_says_what_to_call(run: genimg.Run) -> None:
    with pytest.raises(genimg.UserError, match=r"genimg\.load"):
        type(run.sampler.model).load_from_checkpoint(run.folder.best)


@pytest.mark.slow
def test_training_and_evaluation_run_in_processes_of_their_own(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["model=vae", "data=digits", *SMALL, "trainer.threads=1"]
    trained = genimg.train(*words, budget_images=640, run_dir="mine", callbacks_validation_times=1)
    assert trained.path == tmp_path / "mine"
    assert trained.history[-1]["images_seen"] == 640
    metrics = trained.evaluate(num_images=64, features="random", out="measured")
    assert metrics["images seen"] == 640
    assert (tmp_path / "measured" / "evaluation.json").is_file()
    with pytest.raises(genimg.UserError) as mistake:
        trained.evaluate(num_images=0)
    assert mistake.value.key == "num_images"
    with pytest.raises(genimg.UserError, match="no other run"):
        trained.evaluate(run="last")
