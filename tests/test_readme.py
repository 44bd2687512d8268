"""Every command, the Python and the YAML of README.md run, in order and as printed except for a smaller budget.

A command for one kind of model gets the first run of that kind that the commands above it have trained.
"""

import os
from pathlib import Path

import pytest
from omegaconf import OmegaConf
from PIL import Image

from tests.pages import commands, follow, read_page

README = read_page("README.md")
KINDS = {
    "init_from=": "data=image_folder",
    "actions=": "data=frame_folder",
    "start=": "model=rnn",
    "reconstruct=": "model=vae",
    "classes=": "model.conditional=true",
    "evaluate": "data=digits",
    "truncation_psi=": "model=gan",
    "sliders=": "model=gan",
    "mix_seeds=": "data=image_folder",
    "select=": "model=gan",
    "complete=": "model=pixel_rnn",
    "drawing=": "model=pixel_rnn",
}


def test_the_readme_shows_every_kind_of_command() -> None:
    kinds = (
        "data.root=",
        "model=vae",
        "model=rnn",
        "resume=last",
        "init_from=last",
        "-m ",
        "sample",
        "start=",
        "reconstruct=",
    )
    for kind in (*kinds, "classes=", "actions=", "evaluate", "export", "--config-dir", "trainer.devices=2"):
        assert any(kind in command for command in commands(README)), kind


@pytest.mark.slow
def test_the_readme_runs(tmp_path: Path) -> None:
    (tmp_path / "my_images").mkdir()
    for number in range(80):
        Image.new("RGB", (70, 60), (3 * number, 255 - 3 * number, 90)).save(tmp_path / "my_images" / f"{number}.png")
    Image.new("L", (40, 40), 128).save(tmp_path / "image.png")

    def before(command: str) -> bool:
        if command.startswith("genimg ") or "init_from=" in command:
            make_newest(tmp_path, next((word for mark, word in KINDS.items() if mark in command), ""))
        if "resume=last" in command:
            shorten_newest(tmp_path)
        return "fashion_mnist" not in command or Path("/usr/share/datasets/fashion-mnist").is_dir()

    images = follow(README, tmp_path, before)["images"]
    assert images.shape[0] == 16
    assert images.abs().max() <= 1


def make_newest(folder: Path, word: str) -> None:
    """Makes the first run that was trained with `word` the newest one."""
    trained = sorted(folder.glob("outputs/*/*/overrides.txt"))
    (run, *_) = (path.parent for path in trained if word in path.read_text(encoding="utf-8"))
    os.utime(run / "config.yaml")


def shorten_newest(folder: Path) -> None:
    """Gives the newest run a budget that is not spent yet, as if it had been stopped."""
    newest = max((folder / "outputs").glob("*/*/config.yaml"), key=lambda path: path.stat().st_mtime)
    config = OmegaConf.load(newest)
    config.budget.images = 80
    OmegaConf.save(config, newest)
