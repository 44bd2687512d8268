"""Valid artefacts, made once: runs of the three models, an export, a sweep, a study, and folders of images."""

from __future__ import annotations

import gzip
import json
import shutil
import struct
from pathlib import Path

import numpy as np
from PIL import Image

from genimg.evaluation.rating import study
from tests.hostile.sandbox import run_command

SMALL = [
    "data.image_size=8", "data.batch_size=16", "model.width=4", "model.latent_dim=4", "model.hidden=8",
    "trainer=cpu", "trainer.threads=1", "logger=none", "log_every_steps=2", "callbacks.validation.num_images=16",
    "callbacks.samples.times=1", "callbacks.frechet_random.times=1", "callbacks.frechet_random.num_images=16",
]  # fmt: skip
MODELS = {
    "gan": ["model=gan", "budget.images=64"],
    "vae": ["model=vae", "budget.images=64", "callbacks.prior.num_images=64"],
    "rnn": ["model=rnn", "data=moving_digits", "data.image_size=16", "data.num_frames=4", "budget.images=32"],
}
SWEEPS = {
    "sweep": ["model.lr=1e-3,2e-3"],
    "search": ["hydra/sweeper=optuna", "hydra.sweeper.n_trials=2", "model.lr=tag(log,interval(1e-4,1e-2))"],
}


def make(folder: Path) -> Path:
    """Writes to a new folder, and returns it: gan/, vae/, rnn/, sweep/, search/, exported/, projected/, images/,
    clips/, garments/, study/ and a.json, the answers of its rater."""
    folder.mkdir()
    _images(folder / "images")
    _clips(folder / "clips")
    _garments(folder / "garments")
    for name, words in MODELS.items():
        _command(folder, *words, *SMALL, f"outputs={folder / 'made' / name}")
        (run,) = (folder / "made" / name).glob("*/*")
        run.rename(folder / name)
    for name, words in SWEEPS.items():
        _command(folder, *MODELS["gan"], *SMALL, "-m", *words, f"outputs={folder / 'made' / name}")
        (sweep,) = (folder / "made" / name).glob("*/*")
        sweep.rename(folder / name)
    _command(folder, "export", f"run={folder / 'gan'}", "format=safetensors", f"out={folder / 'exported'}")
    image = f"project={folder / 'images' / 'cat' / '0.png'}"
    _command(folder, "sample", f"run={folder / 'gan'}", image, "project_steps=1", f"out={folder / 'projected'}")
    shutil.copytree(folder / "gan", folder / "projected" / "run")
    runs = f"runs=[{folder / 'gan'},{folder / 'vae'}]"
    _command(folder, "rate", runs, f"study={folder / 'study'}", "trials=4", "repeats=0")
    answers = [{"trial": trial, "answer": "left", "milliseconds": 9} for trial in study.order(4, 0, seed=1)]
    content = {"format": study.FORMAT, "rater": "a", "seed": 1, "answers": answers}
    content["study"] = study.read_key(folder / "study" / "key.json").study
    (folder / "a.json").write_text(json.dumps(content))
    return folder


def _command(folder: Path, *words: str) -> None:
    outcome = run_command(words, folder, [folder], seconds=300)
    assert outcome.code == 0, outcome.out + outcome.err


def _images(folder: Path) -> None:
    """Two classes of twelve images, in every format that is read."""
    draw = np.random.default_rng(0)
    for number in range(24):
        suffix = ("png", "jpg", "webp", "gif", "bmp", "tiff")[number % 6]
        place = folder / ("cat", "dog")[number % 2] / f"{number}.{suffix}"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 255, (12, 10, 3), dtype=np.uint8)).save(place)


def _clips(folder: Path) -> None:
    """Eight GIFs and a folder of frames."""
    draw = np.random.default_rng(1)
    for number in range(8):
        frames = [Image.fromarray(draw.integers(0, 255, (12, 10), dtype=np.uint8)) for _ in range(6)]
        place = folder / f"{number}.gif"
        place.parent.mkdir(parents=True, exist_ok=True)
        frames[0].save(place, save_all=True, append_images=frames[1:])
        for index, frame in enumerate(frames if number < 2 else []):
            (folder / f"frames{number}").mkdir(exist_ok=True)
            frame.save(folder / f"frames{number}" / f"{index}.png")


def _garments(folder: Path) -> None:
    """Twenty images of the ten classes as IDX files, for training and for testing."""
    draw = np.random.default_rng(2)
    folder.mkdir()
    for prefix in ("train", "t10k"):
        for name, values in (
            ("images-idx3", draw.integers(0, 255, (20, 28, 28), dtype=np.uint8)),
            ("labels-idx1", np.arange(20, dtype=np.uint8) % 10),
        ):
            head = bytes((0, 0, 8, values.ndim)) + struct.pack(f">{values.ndim}I", *values.shape)
            (folder / f"{prefix}-{name}-ubyte.gz").write_bytes(gzip.compress(head + values.tobytes(), mtime=0))
