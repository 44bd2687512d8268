"""RUN/defaults.yaml, and the changed settings that the report finds by comparison with it."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from genimg.cli import main as cli
from genimg.common.quoting import quoted
from genimg.common.run_folder import list_runs
from genimg.report.run import read
from genimg.report.settings import changes

# Replaces genimg.launch.worker: writes a checkpoint file, without torch.
WORKER = """
import sys
from pathlib import Path
checkpoints = Path(sys.argv[1]).parent / "checkpoints"
checkpoints.mkdir(exist_ok=True)
(checkpoints / "last.pt").touch()
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "worker.py").write_text(WORKER)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(words: list[str]) -> int:
    return cli.run(words, worker=(sys.executable, str(Path("worker.py").absolute())))


def changed(*words: str) -> dict[str, tuple[str, str]]:
    """{key: (default, value)} of the newest run, after the command has run with `words`."""
    assert run(list(words)) == 0
    found = changes(read(list_runs("outputs")[-1]))
    assert found is not None
    return {key: (default, value) for key, default, value in found}


@pytest.mark.parametrize(
    "words", [(), ("model=vae", "data=fashion_mnist"), ("model=rnn",), ("experiment=fashion_gan",)]
)
def test_the_choice_of_model_and_data_changes_nothing(words: tuple[str, ...]) -> None:
    assert changed(*words) == {}


def test_a_key_that_follows_another_is_not_a_change() -> None:
    assert changed("data.image_size=16", "budget.images=64") == {
        "data.image_size": ("32", "16"),
        "budget.images": ("null", "64"),
    }
    assert changed("seed=3", "data.seed=4") == {"seed": ("0", "3"), "data.seed": ("0", "4")}


def test_a_removed_part_is_one_change() -> None:
    found = changed("callbacks=none")
    assert {key.split(".")[0] for key in found} == {"callbacks"} and found["callbacks.samples"][1] == ""


def test_an_experiment_and_a_file_that_replaces_a_packaged_one_are_changes(here: Path) -> None:
    own = here / "own"
    (own / "experiment").mkdir(parents=True)
    (own / "experiment" / "mine.yaml").write_text("# @package _global_\n# mine\nmodel:\n  width: 4\n")
    (own / "model").mkdir()
    packaged = Path(__file__).parents[2] / "configs" / "model" / "gan.yaml"
    (own / "model" / "gan.yaml").write_text(packaged.read_text().replace("latent_dim: 64 ", "latent_dim: 32 "))
    (own / "model" / "other.yaml").write_text(packaged.read_text().replace("latent_dim: 64 ", "latent_dim: 32 "))
    words = ("--config-dir", str(own), "experiment=mine")
    assert changed(*words) == {"model.width": ("16", "4"), "model.latent_dim": ("64", "32")}
    assert changed(*words, "model=other") == {"model.width": ("16", "4")}  # a choice has its own defaults


def test_a_resumed_run_is_compared_with_the_defaults_it_started_with() -> None:
    changed("budget.images=64")
    assert changed("resume=last", "budget.images=128")["budget.images"] == ("null", "128")


@pytest.mark.parametrize(
    "spelling", ["last", "'last'", "{name}", "outputs/{date}/{name}", "{here}/outputs/{date}/{name}"]
)
@pytest.mark.parametrize("plus", ["", "++"])
def test_the_command_of_a_resumed_run_has_its_absolute_path(plus: str, spelling: str, here: Path) -> None:
    """`last` is another run soon, and a relative path another folder elsewhere."""
    changed("budget.images=64")
    (file,) = here.glob("outputs/*/*/command.txt")
    given = spelling.format(here=here, date=file.parent.parent.name, name=file.parent.name)
    changed(f"{plus}resume={given}", "budget.images=128")
    assert file.read_text().splitlines()[1] == f"genimg-train resume={file.parent} budget.images=128"
    assert file.with_name("overrides.txt").read_text().splitlines()[1:] == [
        f"resume={file.parent}",
        "budget.images=128",
    ]
    config = OmegaConf.load(file.with_name("config.yaml"))
    assert config.resume == config.run_dir == str(file.parent)


def test_the_command_of_a_resumed_run_can_be_repeated(here: Path) -> None:
    odd = f"outputs={quoted('my (runs), x=1')}"
    assert run(["budget.images=64", odd]) == 0
    assert run(["resume=last", "budget.images=128", odd]) == 0
    (file,) = here.glob("my*/*/*/command.txt")
    assert run(shlex.split(file.read_text().splitlines()[1])[1:]) == 0


def test_there_are_no_defaults_for_a_user_defined_root_that_the_package_cannot_compose(here: Path) -> None:
    (here / "own" / "model").mkdir(parents=True)
    root = (Path(__file__).parents[2] / "configs" / "train.yaml").read_text()
    (here / "own" / "train.yaml").write_text(f"{root}\nmine: 4\n")
    packaged = Path(__file__).parents[2] / "configs" / "model" / "gan.yaml"
    (here / "own" / "model" / "other.yaml").write_text(
        packaged.read_text().replace("latent_dim: 64 ", "latent_dim: ${mine} ")
    )
    assert run(["--config-dir", str(here / "own"), "model=other", "model.latent_dim=8"]) == 0
    assert changes(read(list_runs("outputs")[-1])) is None
