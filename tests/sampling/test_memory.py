"""Samples that do not fit in the memory are one message, before anything is drawn or written."""

import time
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from genimg.common.errors import UserError
from genimg.models.memory import peak_memory
from genimg.sampling.load import from_checkpoint
from genimg.sampling.memory import check_chunk
from genimg.sampling.output.options import SampleOptions
from genimg.sampling.output.write import write_samples
from genimg.sampling.projected import Latents
from genimg.sampling.sampler import Sampler
from tests.trained import checkpoint

MODELS = {
    "gan": ["model=gan", "model/network=stylegan2", "model.width=4", "model.latent_dim=4"],
    "vae": ["model=vae"],
    "rnn": ["model=rnn", "data=moving_digits", "data.num_frames=4"],
}


def sampler(model: str) -> Sampler:
    return from_checkpoint(checkpoint(*MODELS[model]), "cpu", [])


def test_a_chunk_and_its_copies_are_compared_with_the_memory() -> None:
    found = sampler("vae").model

    def draw(drawn: Any) -> torch.Tensor:
        with torch.no_grad():
            return drawn.decode(torch.zeros(16, drawn.latent_dim))

    peak = peak_memory(found, draw)
    assert peak is not None
    needed = peak + 2 * 16 * 8 * 8 * 4
    check_chunk(found, draw, 2, "", available=needed)
    with pytest.raises(UserError, match="free on this machine"):
        check_chunk(found, draw, 2, "", available=needed - 1)


@pytest.mark.parametrize("options", [{"num_frames": 10**9}, {"futures": 10**9}])
def test_an_animation_that_exceeds_the_memory_is_refused_at_once(options: dict[str, int]) -> None:
    found = sampler("rnn")
    started = time.process_time()
    with pytest.raises(UserError, match=r"GB at once.*\n.*free on this machine.*\n.*num_frames or futures"):
        found.stream(1, **options)  # pyright: ignore[reportArgumentType]
    assert time.process_time() - started < 20


def test_methods_that_return_many_images_refuse_them_before_they_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    gan, vae = sampler("gan"), sampler("vae")
    calls = {
        "num_images": lambda: gan.sample(10**9),
        "interpolate": lambda: gan.interpolate(2, 10**10),
        "mix_seeds": lambda: gan.mix(range(1000), 10**6),
        "latents": lambda: gan.draw(Latents(torch.zeros(1, 4).expand(10**9, 4), "z")),
        "sliders": lambda: gan.sliders(["pca0-3"], 1),
        "reconstruct": lambda: vae.reconstruct(torch.zeros(1, 1, 8, 8).expand(10**9, 1, 8, 8)),
    }
    gan.sample(1)  # its chunk fits
    for key, call in calls.items():
        free = 1000 if key == "sliders" else 2**34
        monkeypatch.setattr("genimg.sampling.memory.available_memory", lambda free=free: free)
        with pytest.raises(UserError, match=r"images that need about .* GB at once") as raised:
            call()
        assert raised.value.key == key


@pytest.mark.parametrize(
    ("model", "options", "key"),
    [
        ("vae", {"rows": 10**6, "columns": 10**6}, "rows, columns"),
        ("vae", {"rows": 10**6, "columns": 10**6, "interpolate": 2}, "rows, columns"),
        ("vae", {"num_images": 100, "interpolate": 10**6}, "interpolate"),
        ("rnn", {"rows": 10**5, "columns": 10**4}, "rows, columns"),
        ("vae", {"reconstruct": "images"}, "reconstruct"),
        ("gan", {"project": "images"}, "project"),
        ("rnn", {"start": "images"}, "start"),
    ],
)
def test_files_that_exceed_the_memory_are_refused_before_one_is_written(
    model: str, options: dict[str, Any], key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "images").mkdir()
    for number in range(3):
        Image.new("L", (8, 8), number).save(tmp_path / "images" / f"{number}.png")
    given = {name: str(tmp_path / value) if value == "images" else value for name, value in options.items()}
    if "images" in options.values():
        monkeypatch.setattr("genimg.sampling.memory.available_memory", lambda: 100)
    with pytest.raises(UserError, match=r"(images that need|x .* cells that needs) about .* GB") as raised:
        write_samples(sampler(model), SampleOptions.defaults(**given), tmp_path / "out")
    assert raised.value.key == key
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "key"),
    [({"num_images": 1000, "rows": 1, "columns": 1000}, "rows, columns"), ({"futures": 1000}, "futures")],
)
def test_an_animation_beyond_the_limit_of_gif_is_refused_before_one_is_written(
    options: dict[str, int], key: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="66,002 pixels") as raised:
        write_samples(sampler("rnn"), SampleOptions.defaults(**options), tmp_path / "out")
    assert raised.value.key == key
    assert not (tmp_path / "out").exists()
