"""docs/own.md as a user follows it: its Python and its YAML in an empty folder, and every command as printed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Answer
from tests.test_readme import ROOT, SHORT, blocks, commands, run, short

PAGE = (ROOT / "docs" / "own.md").read_text(encoding="utf-8")

# what the protocol asks for, and no more
LEAST = """
import torch

from genimg.models.base import GenerativeModel


class Spread(GenerativeModel):
    monitor = ("frechet_random", "min")

    def __init__(self, image_size, channels, **_shared):
        super().__init__()
        self.shape = (channels, image_size, image_size)
        self.layer = torch.nn.Linear(4, channels * image_size**2)

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=1e-3)

    def networks(self):
        return {"layer": self.layer}

    def draw(self, noise):
        return self.layer(noise).float().tanh().view(-1, *self.shape)

    def training_step(self, batch, batch_idx):
        images = batch["images"]
        return {"loss": (self.draw(torch.randn(len(images), 4)) - images).square().mean()}

    def evaluate(self, batch, generator):
        return {}

    def sample(self, num_images, *, generator, labels=None, temperature=1.0):
        return self.draw(temperature * torch.randn(num_images, 4, generator=generator))
"""
LEAST_YAML = """# Spread
_target_: mynets.Spread
name: spread
image_size: ${data.image_size}
channels: ${data.channels}
"""


def write(folder: Path, code: str, model: str) -> None:
    (folder / "own" / "model").mkdir(parents=True)
    (folder / "mynets.py").write_text(code, encoding="utf-8")
    (folder / "own" / "model" / "mine.yaml").write_text(model, encoding="utf-8")


def test_the_page_shows_commands_of_each_kind() -> None:
    for kind in ("discriminator._target_=", "+model.", "model._target_=", "model=vae", "--config-dir", "resume=last"):
        assert any(kind in command for command in commands(PAGE)), kind


@pytest.mark.slow
def test_every_command_runs(tmp_path: Path) -> None:
    write(tmp_path, "\n\n".join(blocks("python", PAGE)), *blocks("yaml", PAGE))
    for command in commands(PAGE):
        run(short(command, tmp_path), tmp_path)


@pytest.mark.slow
def test_a_model_that_keeps_the_protocol_and_no_more_trains_and_samples(tmp_path: Path) -> None:
    write(tmp_path, LEAST, LEAST_YAML)
    own = [word for word in SHORT if not word.startswith("model.")]
    assert "report" in run(["--config-dir", "own", "model=mine", *own], tmp_path)
    run(["sample", "run=last", "num_images=2", "trust=[mynets]"], tmp_path)


@pytest.mark.slow
def test_a_module_that_is_nowhere_is_looked_for_in_this_folder(command: Callable[..., Answer]) -> None:
    answer = command("model.discriminator._target_=mynets.Critic", "dry_run=true", "trainer.accelerator=cpu")
    assert answer.code == 2
    assert "a module in this folder (No module named 'mynets')" in answer.err
