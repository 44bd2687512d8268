"""Projection: latents of images that the generator made are found, and the file of latents gives these images again."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from genimg.common.errors import UserError
from genimg.models.outputs import clipped
from genimg.sampling import projected
from genimg.sampling.descent import RATE, learning_rate, pyramid_error
from genimg.sampling.images.files import save_png
from genimg.sampling.images.sheets import to_float, to_uint8
from genimg.sampling.load import from_checkpoint
from genimg.sampling.output.options import SampleOptions
from genimg.sampling.output.write import write_samples
from genimg.sampling.projected import Latents, read_latents
from genimg.sampling.sampler import Sampler
from tests.stub_models import StubSequences
from tests.trained import checkpoint


def made(*words: str) -> Sampler:
    """A sampler of an untrained GAN of 8 x 8 pixels with 4 latents and, in `slim`, 16 styles for each layer."""
    return from_checkpoint(checkpoint("model=gan", *words), "cpu")


@pytest.fixture(scope="module")
def sampler() -> Sampler:
    return made()


def rmse(images: Tensor, targets: Tensor) -> Tensor:
    return (images - targets).square().mean((1, 2, 3)).sqrt()


@pytest.mark.parametrize("space", ["z", "w", "w+"])
def test_images_of_the_generator_are_recovered(sampler: Sampler, space: str) -> None:
    images = sampler.sample(4, seed=5)
    latents = sampler.project(images, project_space=space, project_steps=200)
    assert latents.space == space
    assert latents.values.shape == {"z": (4, 4), "w": (4, 16), "w+": (4, sampler.model.num_styles, 16)}[space]
    assert (rmse(sampler.draw(latents), images) < 0.05 * images.std(0).mean()).all()


def test_the_error_falls_with_the_steps_and_all_of_it_is_deterministic(sampler: Sampler) -> None:
    images = sampler.sample(4, seed=5)
    found = [sampler.project(images, project_space="w", project_steps=steps) for steps in (1, 30, 150, 150)]
    first, some, many, again = found
    errors = [rmse(sampler.draw(latents), images) for latents in (first, some, many)]
    assert (errors[2] < errors[1]).all() and (errors[1] < errors[0]).all()
    assert torch.equal(many.values, again.values)


@pytest.mark.parametrize(
    "words", [["model/network=dcgan"], ["model/network=stylegan2"], ["model=vae", "model.prior=normal"], ["model=draw"]]
)
def test_every_model_that_decodes_latents_has_a_projection(words: list[str]) -> None:
    """By default into w+ with a mapping network, else into z; the error is below that of the best random latents."""
    sampler = made(*words)
    images = sampler.sample(2, seed=5)
    latents = sampler.project(images, project_steps=60)
    assert latents.space == ("w+" if "model/network=stylegan2" in words else "z")
    random = sampler.sample(256)
    nearest = torch.stack([rmse(random, image).min() for image in images])
    assert (rmse(sampler.draw(latents), images) < 0.7 * nearest).all()


def test_an_image_has_the_same_latents_beside_others(sampler: Sampler) -> None:
    images = sampler.sample(6, seed=5)
    together = sampler.project(images, project_space="w", project_steps=30).values
    alone = sampler.project(images[4:5], project_space="w", project_steps=30).values
    torch.testing.assert_close(together[4:5], alone, rtol=1e-3, atol=1e-3)


def test_the_class_of_each_image_is_given_and_kept() -> None:
    sampler = made("model.conditional=true")
    images = sampler.sample(2, seed=5, classes=[3, 7])
    with pytest.raises(UserError, match="the class of the images"):
        sampler.project(images)
    for space in ("z", "w"):
        latents = sampler.project(images, [3, 7], project_space=space, project_steps=150)
        assert latents.labels is not None and latents.labels.tolist() == [3, 7]
        assert (rmse(sampler.draw(latents), images) < 0.1 * images.std()).all()
    mixed = sampler.project(images, [{3: 1, 7: 1}], project_steps=1)
    assert mixed.labels is not None and mixed.labels.shape == (2, 10)


def test_the_loss_compares_images_at_every_scale() -> None:
    """Of noise, a halving keeps a quarter of the mean square; of a constant, all of it. 64 pixels have 5 scales."""
    torch.manual_seed(0)
    noise, constant = torch.randn(1, 3, 64, 64), torch.full((1, 3, 64, 64), 2.0)
    assert float(pyramid_error(constant, torch.zeros(3, 64, 64))) == pytest.approx(5 * 4)
    expected = sum(0.25**n for n in range(5))
    assert float(pyramid_error(noise, torch.zeros(3, 64, 64))) == pytest.approx(expected, rel=0.05)


def test_the_learning_rate_rises_and_falls() -> None:
    rates = [learning_rate(share) for share in (0, 0.025, 0.05, 0.5, 0.75, 0.875, 1)]
    assert rates == pytest.approx([0, RATE / 2, RATE, RATE, RATE, RATE / 2, 0])


def test_a_clipped_pixel_has_a_gradient() -> None:
    """Otherwise a white pixel of the start could never become darker. Without a gradient the values are exact."""
    x = torch.tensor([-3.0, 0.5, 2.0], requires_grad=True)
    clipped(x).sum().backward()
    assert x.grad is not None and x.grad.tolist() == [1, 1, 1]
    torch.testing.assert_close(clipped(x), torch.tensor([-1, 0.5, 1]))
    assert torch.equal(clipped(x.detach()), torch.tensor([-1, 0.5, 1]))


@pytest.mark.parametrize("words", [[], ["model.conditional=true"]])
@pytest.mark.parametrize("space", ["z", "w", "w+"])
def test_the_file_of_latents_draws_the_same_images(space: str, words: list[str], tmp_path: Path) -> None:
    """And it is an archive of plain arrays."""
    sampler = made(*words)
    latents = sampler.project(sampler.sample(3, seed=5), [1] if words else None, project_space=space, project_steps=2)
    latents.save(tmp_path / "latents.npz")
    read = read_latents(tmp_path / "latents.npz", sampler)
    assert read.space == space and torch.equal(sampler.draw(read), sampler.draw(latents))
    with np.load(tmp_path / "latents.npz", allow_pickle=False) as file:
        assert sorted(file) == (["labels"] if words else []) + [space[0]]
        assert np.array_equal(file[space[0]], latents.values.numpy())


def photos(sampler: Sampler, folder: Path) -> list[Path]:
    """Three images of the generator as files."""
    folder.mkdir()
    for name, image in zip("abc", to_uint8(sampler.sample(3, seed=5)), strict=True):
        save_png(image, folder / f"{name}.png")
    return sorted(folder.iterdir())


def files(folder: Path) -> list[str]:
    return sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())


def opened(path: Path) -> Tensor:
    with Image.open(path) as image:
        return torch.from_numpy(np.array(image))[None]


def write(sampler: Sampler, folder: Path, **options: Any) -> Path:
    return write_samples(sampler, SampleOptions.defaults(**options), folder)


def test_a_projection_writes_images_latents_and_errors(sampler: Sampler, tmp_path: Path) -> None:
    given, out = photos(sampler, tmp_path / "photos"), tmp_path / "out"
    assert write(sampler, out, project=str(tmp_path / "photos"), project_steps=40) == out / "projected.png"
    names = [f"0000{index}-{name}" for index, name in enumerate("abc")]
    images = [f"images/{name}.png" for name in names]
    assert files(out) == [*images, "latents.npz", "projected.png", "projection.json"]
    report = json.loads((out / "projection.json").read_text())
    assert (report["space"], report["steps"], report["seed"]) == ("w+", 40, 0)
    drawn = sampler.draw(read_latents(out / "latents.npz", sampler))
    for row, (file, one) in enumerate(zip(given, report["images"], strict=True)):
        assert one["file"] == str(file)
        error = float(rmse(drawn[row : row + 1], to_float(opened(file))))
        assert one["rmse"] == pytest.approx(error, rel=1e-4)
        assert one["psnr"] == pytest.approx(20 * np.log10(2 / error), rel=1e-4)
        assert torch.equal(opened(out / images[row]), to_uint8(drawn[row]))


def test_projected_images_are_edited_and_interpolated(sampler: Sampler, tmp_path: Path) -> None:
    """At once, or from the file of latents; the walk starts at each image."""
    photos(sampler, tmp_path / "photos")
    options: dict[str, Any] = {"directions": {"pca0": 2.0}, "interpolate": 4}
    write(sampler, tmp_path / "out", project=str(tmp_path / "photos"), project_steps=40, **options)
    assert {"edited/00000-a.png", "interpolation.png", "interpolation.gif"} <= set(files(tmp_path / "out"))
    latents = read_latents(tmp_path / "out" / "latents.npz", sampler)
    edited = to_uint8(sampler.draw(latents, {"pca0": 2.0}))
    assert torch.equal(opened(tmp_path / "out" / "edited" / "00001-b.png"), edited[1])
    assert not torch.equal(edited, to_uint8(sampler.draw(latents)))
    write(sampler, tmp_path / "again", latents=str(tmp_path / "out" / "latents.npz"), **options)
    assert torch.equal(opened(tmp_path / "again" / "images" / "0001.png"), edited[1])
    for name in ("interpolation.png", "interpolation.gif"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "out" / name).read_bytes()


def damaged(path: Path, kind: str) -> None:
    """A file that is no file of latents of the model."""
    arrays: dict[str, dict[str, Any]] = {
        "other shape": {"w": np.zeros((2, 5), np.float32)},
        "float64": {"z": np.zeros((2, 4))},
        "nan": {"z": np.full((2, 4), np.nan, np.float32)},
        "none": {"z": np.zeros((0, 4), np.float32)},
        "both": {"z": np.zeros((2, 4), np.float32), "w": np.zeros((2, 16), np.float32)},
        "neither": {"x": np.zeros((2, 4), np.float32)},
        "labels": {"z": np.zeros((2, 4), np.float32), "labels": np.zeros(2, np.int64)},
        "pickle": {"z": np.array([{"a": 1}], dtype=object)},
    }
    if kind in arrays:
        np.savez(path, allow_pickle=True, **arrays[kind])
    else:
        path.write_bytes(
            {"array": _one_array(), "text": b"hello", "empty": b"", "half": b"PK\x03\x04" + bytes(40)}[kind]
        )


def _one_array() -> bytes:
    """The content of an .npy file, which numpy opens too."""
    content = io.BytesIO()
    np.save(content, np.zeros((2, 4), np.float32))
    return content.getvalue()


KINDS = [
    "array", "other shape", "float64", "nan", "none", "both", "neither", "labels", "pickle", "text", "empty", "half",
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_of_other_latents_is_an_error(sampler: Sampler, kind: str, tmp_path: Path) -> None:
    damaged(tmp_path / "latents.npz", kind)
    with pytest.raises(UserError, match="the latents of this model") as mistake:
        write(sampler, tmp_path / "out", latents=str(tmp_path / "latents.npz"))
    assert "load it" not in str(mistake.value), "numpy's advice"
    assert not (tmp_path / "out").exists()


def test_a_file_that_would_unpack_to_more_than_the_limit_is_not_read(
    sampler: Sampler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Latents(torch.zeros(1000, 4), "z").save(tmp_path / "latents.npz")
    assert len(read_latents(tmp_path / "latents.npz", sampler)) == 1000
    monkeypatch.setattr(projected, "_LARGEST", 16_000)  # bytes of the numbers alone
    with pytest.raises(UserError, match="the latents of this model"):
        read_latents(tmp_path / "latents.npz", sampler)


@pytest.mark.parametrize(
    ("words", "options", "key"),
    [
        (["model/network=dcgan"], {"project_space": "w"}, "project_space"),
        (["model/network=dcgan"], {"directions": {"pca0": 1}}, "directions"),
        ([], {"seeds": [1]}, "seeds"),
        ([], {"truncation_psi": 0.7}, "truncation_psi"),
        ([], {"classes": [1]}, "classes"),
        ([], {"interpolate": 4}, "project"),
        ([], {"frames": True}, "frames"),
        ([], {"latents": "latents.npz"}, "latents"),
        ([], {"project": None, "project_space": "z"}, "project_space"),
    ],
)
def test_a_mistake_is_an_error_and_nothing_is_written(
    words: list[str], options: dict[str, Any], key: str, tmp_path: Path
) -> None:
    sampler = made(*words)
    image = photos(sampler, tmp_path / "photos")[0]
    with pytest.raises(UserError) as error:
        write(sampler, tmp_path / "out", **({"project": str(image), "project_steps": 2} | options))
    assert error.value.key == key and not (tmp_path / "out").exists()


def test_a_sequence_model_has_no_projection() -> None:
    sampler = Sampler(StubSequences(), (1, 8, 8), num_frames=5)
    with pytest.raises(UserError) as error:
        sampler.project(torch.zeros(1, 1, 8, 8))
    assert error.value.key == "project"


def test_latents_of_another_space_are_refused_by_a_model_without_a_mapping_network(tmp_path: Path) -> None:
    Latents(torch.zeros(2, 16), "w").save(tmp_path / "latents.npz")
    with pytest.raises(UserError, match="no mapping network"):
        read_latents(tmp_path / "latents.npz", made("model/network=dcgan"))
