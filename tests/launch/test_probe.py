"""model.fit=auto in the command: what the worker is asked, and the words that its answer becomes."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf

from genimg.common.errors import UserError
from genimg.common.run_folder import list_runs
from genimg.config.compose import Composer
from genimg.launch.probe import choose, is_wanted
from genimg.launch.session import check
from tests.conftest import Answer

AUTO = "model.fit=auto"

# Replaces genimg.launch.worker: keeps what it is asked, and answers the widest candidate.
WORKER = """
import json, sys
from pathlib import Path
from omegaconf import OmegaConf
config = OmegaConf.load(sys.argv[1])
Path("asked.yaml").write_text(Path(sys.argv[1]).read_text())
answer = {"width": config.candidates[-1].width, "batch_size": 128}
Path(config.run_dir, "fit.json").write_text(json.dumps(answer))
sys.exit(config.seed)
"""

SMALL = ["data.image_size=8", "trainer=cpu", "trainer.threads=1", "callbacks=none", "logger=none"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def chosen(*words: str, config_dir: Path | None = None) -> tuple[int, list[str]]:
    composer = Composer("train", config_dir)
    config = check(composer, list(words))
    assert is_wanted(config)
    return choose(composer, list(words), config, (sys.executable, "-c", WORKER))


def test_the_choice_takes_the_place_of_the_key(folder: Path) -> None:
    assert chosen("data=digits", AUTO, "budget.minutes=3") == (
        0,
        ["data=digits", "budget.minutes=3", "model.width=384", "data.batch_size=128"],
    )
    assert [path.name for path in folder.iterdir()] == ["asked.yaml"], "no run folder"


def test_every_candidate_has_its_width_wherever_its_network_reads_it(folder: Path) -> None:
    chosen(AUTO, "model/network=r3gan")
    asked = OmegaConf.load(folder / "asked.yaml")
    assert isinstance(asked, DictConfig)
    widths = [node.width for node in asked.candidates]
    assert widths == [16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768]
    for node in asked.candidates:
        assert node.generator.shape.width == node.discriminator.shape.width == node.width
    assert asked.model.width == 32, "the default, which is timed first"
    assert not Path(asked.run_dir).exists()


def test_the_words_compose_to_a_run_that_asks_for_nothing() -> None:
    _, words = chosen(AUTO)
    config = check(Composer("train"), words)
    assert (config.model.width, config.data.batch_size, config.model.fit) == (384, 128, None)
    assert not is_wanted(config)


def test_an_experiment_may_ask_for_a_width(tmp_path: Path) -> None:
    own = tmp_path / "own" / "experiment"
    own.mkdir(parents=True)
    (own / "mine.yaml").write_text("# @package _global_\nmodel:\n  fit: auto\n")
    _, words = chosen("experiment=mine", config_dir=tmp_path / "own")
    assert words == ["experiment=mine", "model.fit=null", "model.width=384", "data.batch_size=128"]
    assert not is_wanted(check(Composer("train", tmp_path / "own"), words))


def test_a_failure_of_the_worker_is_that_of_the_command() -> None:
    assert chosen(AUTO, "seed=7")[0] == 7


@pytest.mark.parametrize(
    ("words", "key", "told"),
    [
        (["model.width=24"], "model.width", "got 24"),
        (["data.batch_size=32"], "data.batch_size", "got 32"),
        (["experiment=cifar10_r3gan", "budget.minutes=9"], "model.width", "configs/experiment/cifar10_r3gan.yaml"),
        (["experiment=cifar10_r3gan_night", "budget.minutes=9"], "model.width", "cifar10_r3gan_night.yaml"),
    ],
)
def test_a_width_or_a_batch_size_that_is_set_is_refused(words: list[str], key: str, told: str, folder: Path) -> None:
    with pytest.raises(UserError, match=r"not set beside model\.fit=auto") as error:
        chosen(AUTO, *words)
    assert error.value.key == key
    assert told in str(error.value)
    assert list(folder.iterdir()) == []


def test_weights_of_another_run_are_refused(folder: Path) -> None:
    run = folder / "outputs" / "2026-01-01" / "10-00-00-gan-digits"
    (run / "checkpoints").mkdir(parents=True)
    (run / "checkpoints" / "last.pt").touch()
    (run / "config.yaml").touch()
    with pytest.raises(UserError, match="null with init_from=, whose weights have a width"):
        check(Composer("train"), [AUTO, "init_from=last"])


@pytest.mark.slow
def test_a_run_keeps_the_choice_and_a_resumed_run_measures_nothing(
    command: Callable[..., Answer], folder: Path
) -> None:
    answer = command(*SMALL, AUTO, "budget.minutes=0.02")
    assert answer.code == 0, answer.err
    assert "fit       width 8, batches of 64: " in answer.out, "two seconds are enough for the narrowest only"
    (run,) = list_runs(folder / "outputs")
    assert run.overrides.read_text().splitlines()[-2:] == ["model.width=8", "data.batch_size=64"]
    assert run.command.read_text().endswith("budget.minutes=0.02 model.width=8 data.batch_size=64\n")
    assert "fit" not in run.overrides.read_text()
    saved = OmegaConf.load(run.config)
    assert (saved.model.fit, saved.model.width, "candidates" in saved) == (None, 8, False)
    answer = command("resume=last", "budget.minutes=0.04", *SMALL[1:3])
    assert answer.code == 0, answer.err
    assert "fit  " not in answer.out


@pytest.mark.slow
def test_ctrl_c_while_it_measures_leaves_nothing(folder: Path) -> None:
    words = [*SMALL, AUTO, "data.image_size=256", "budget.minutes=1000"]
    command = [sys.executable, "-m", "genimg.cli.main", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert "fit       times some widths" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert list(folder.iterdir()) == []
