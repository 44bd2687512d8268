"""Every command and the Python of README.md, run in their order: as printed, but for a budget of a few images.

A command that speaks of a kind of model gets the first run of that kind among those that the commands above it have
trained.
"""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
SHORT = [
    "budget.images=64", "budget.minutes=null", "data.batch_size=16", "model.width=4",
    "callbacks.samples.times=1", "callbacks.validation.times=1", "callbacks.validation.num_images=16",
    "trainer.threads=1", "trainer.accelerator=cpu",
]  # fmt: skip
KINDS = {"start=": "model=rnn", "reconstruct=": "model=vae", "classes=": "model.conditional=true"}


def blocks(language: str, page: str = README) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)


def commands(page: str) -> list[str]:
    lines = [line for block in blocks("bash", page) for line in block.splitlines()]
    return [line.split("  #")[0].strip() for line in lines if line.startswith("genimg")]


COMMANDS = commands(README)


def run(words: list[str], folder: Path) -> str:
    """One command in `folder`; what it printed, after exit code 0."""
    done = subprocess.run(
        [sys.executable, "-m", "genimg.cli.main", *words],
        cwd=folder,
        env={**os.environ, "XDG_CACHE_HOME": str(folder / "cache")},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def short(command: str, folder: Path) -> list[str]:
    """The words of a printed command, without its program, with a small budget where it trains, and the sweep that is
    there where it names one.
    """
    # that of the newest runs, should midnight have come between
    today = max((run.parts[-3] for run in folder.glob("outputs/*/*/config.yaml")), default="no day")
    program, *words = shlex.split(command.replace("$(date +%F)", today))
    if program == "genimg":
        return words
    keys = {word.split("=")[0] for word in words}
    if "sweep.resume" in keys:
        return ["-m", f"sweep.resume={max(folder.glob('outputs/*/*-sweep')).relative_to(folder)}"]
    if "resume" in keys:
        return [*words, "budget.images=112"] if "budget.images" in keys else words
    return [*words, *SHORT]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's folder with images of their own."""
    folder = tmp_path_factory.mktemp("user")
    (folder / "my_images").mkdir()
    for number in range(80):
        Image.new("RGB", (70, 60), (3 * number, 255 - 3 * number, 90)).save(folder / "my_images" / f"{number}.png")
    Image.new("L", (40, 40), 128).save(folder / "image.png")
    return folder


def test_the_readme_shows_commands_of_each_kind() -> None:
    assert len(COMMANDS) >= 12
    for kind in ("model=vae", "model=rnn", "resume=last", "genimg sample", "start=", "reconstruct=", "evaluate"):
        assert any(kind in command for command in COMMANDS), kind


@pytest.mark.slow
def test_every_command_runs(folder: Path) -> None:
    for command in COMMANDS:
        if "fashion_mnist" in command and not Path("/usr/share/datasets/fashion-mnist").is_dir():
            continue
        if command.startswith("genimg "):
            make_last(folder, next((word for mark, word in KINDS.items() if mark in command), ""))
        if "resume=last" in command:
            stop_short(folder)
        run(short(command, folder), folder)


def make_last(folder: Path, word: str) -> None:
    """Makes the first run that was trained with `word` the newest."""
    trained = sorted(folder.glob("outputs/*/*/overrides.txt"))
    (run, *_) = (path.parent for path in trained if word in path.read_text(encoding="utf-8"))
    os.utime(run / "config.yaml")


def stop_short(folder: Path) -> None:
    """Makes the newest run one that still has images to see."""
    newest = max((folder / "outputs").glob("*/*/config.yaml"), key=lambda path: path.stat().st_mtime)
    config = OmegaConf.load(newest)
    config.budget.images = 80
    OmegaConf.save(config, newest)


@pytest.mark.slow
def test_the_python_runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    if not (folder / "outputs").is_dir():
        run(SHORT, folder)
    names: dict[str, torch.Tensor] = {}
    for block in blocks("python"):
        exec(block, names)
    assert names["images"].shape[0] == 16
    assert names["images"].abs().max() <= 1
