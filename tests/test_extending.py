"""docs/extending.md as a user follows it: its Python and YAML in an empty folder, and every command as printed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Answer
from tests.pages import SHORT, commands, follow, read_page, run

PAGE = read_page("docs/extending.md")

# the required part of the protocol
MINIMAL = """
import torch

from genimg.models.base import GenerativeModel


class Minimal(GenerativeModel):
    produces = "images"
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

    def evaluate(self, batch, noise):
        return {}

    def sample(self, noise, *, labels=None, temperature=1.0):
        return self.draw(temperature * noise.normal(4))
"""
MINIMAL_YAML = """# A linear layer
_target_: mynets.Minimal
name: minimal
image_size: ${data.image_size}
channels: ${data.channels}
"""


def test_the_page_shows_every_kind_of_command() -> None:
    for kind in ("discriminator._target_=", "+model.", "model._target_=", "model=vae", "--config-dir", "resume=last"):
        assert any(kind in command for command in commands(PAGE)), kind


@pytest.mark.slow
def test_the_page_runs(tmp_path: Path) -> None:
    follow(PAGE, tmp_path)


@pytest.mark.slow
def test_a_model_with_only_the_required_methods_trains_and_samples(tmp_path: Path) -> None:
    (tmp_path / "own" / "model").mkdir(parents=True)
    (tmp_path / "mynets.py").write_text(MINIMAL, encoding="utf-8")
    (tmp_path / "own" / "model" / "mine.yaml").write_text(MINIMAL_YAML, encoding="utf-8")
    words = SHORT
    assert "report" in run(["--config-dir", "own", "model=mine", *words], tmp_path)
    run(["sample", "run=last", "num_images=2", "trust=[mynets]"], tmp_path)


@pytest.mark.slow
def test_a_module_that_is_not_found_is_an_error_that_names_the_folder(command: Callable[..., Answer]) -> None:
    answer = command("model.discriminator._target_=mynets.Critic", "dry_run=true", "trainer.accelerator=cpu")
    assert answer.code == 2
    assert "a module in this folder (No module named 'mynets')" in answer.err
