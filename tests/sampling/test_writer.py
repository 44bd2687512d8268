"""The folder of samples: its files, their order and bytes, and the memory needed."""

from __future__ import annotations

import inspect
import weakref
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from genimg.common.errors import UserError
from genimg.sampling.images.sheets import GAP, to_uint8
from genimg.sampling.load import from_checkpoint
from genimg.sampling.output.options import SampleOptions
from genimg.sampling.output.saving import ON_SHEET
from genimg.sampling.output.write import write_samples
from genimg.sampling.sampler import Sampler
from tests.stub_models import StubAutoencoder, StubGenerator, StubSequences
from tests.trained import checkpoint

GREY, COLOUR = (1, 8, 8), (3, 16, 12)


def image_sampler(shape: tuple[int, int, int] = GREY, **options: Any) -> Sampler:
    return Sampler(StubGenerator(shape), shape, **options)


def sequence_sampler(shape: tuple[int, int, int] = GREY) -> Sampler:
    return Sampler(StubSequences(shape), shape, num_frames=5)


def files(folder: Path) -> list[str]:
    return sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())


def pixels(path: Path) -> Tensor:
    with Image.open(path) as image:
        array = np.array(image)
    return torch.from_numpy(array).view(*array.shape[:2], -1).permute(2, 0, 1)


def tile(sheet: Path, row: int, column: int, factor: int, height: int, width: int) -> Tensor:
    top, left = GAP + row * (height * factor + GAP), GAP + column * (width * factor + GAP)
    return pixels(sheet)[:, top : top + height * factor : factor, left : left + width * factor : factor]


def test_the_python_api_has_the_defaults_of_the_command() -> None:
    defaults = asdict(SampleOptions.defaults())
    for method in (Sampler.stream, Sampler.interpolate):
        for name, parameter in inspect.signature(method).parameters.items():
            if parameter.default is not inspect.Parameter.empty:
                assert parameter.default == defaults[name], name


@pytest.mark.parametrize("shape", [GREY, COLOUR])
def test_ten_images_and_their_sheet(tmp_path: Path, shape: tuple[int, int, int]) -> None:
    first_look = write_samples(image_sampler(shape), SampleOptions.defaults(), tmp_path)
    assert first_look == tmp_path / "sheet.png"
    assert files(tmp_path) == [f"images/{index:04d}.png" for index in range(10)] + ["sheet.png"]
    expected = to_uint8(image_sampler(shape).sample(10))
    factor = 64 // max(shape[1:])
    for index, file in enumerate(sorted((tmp_path / "images").iterdir())):
        assert torch.equal(pixels(file), expected[index])
        assert torch.equal(tile(first_look, index // 5, index % 5, factor, *shape[1:]), expected[index])


def test_the_same_seed_makes_the_same_bytes(tmp_path: Path) -> None:
    made = []
    for name, count in (("a", 20), ("b", 20), ("c", 37)):
        write_samples(image_sampler(), SampleOptions.defaults(num_images=count, interpolate=3), tmp_path / name)
        write_samples(
            sequence_sampler(), SampleOptions.defaults(num_images=count, futures=2), tmp_path / name / "clips"
        )
        made.append({file: (tmp_path / name / file).read_bytes() for file in files(tmp_path / name)})
    assert made[0] == made[1]
    assert {file: made[2][file] for file in made[0] if "/0" in file} == {
        file: data for file, data in made[0].items() if "/0" in file
    }


def test_each_row_of_the_sheet_shows_one_class(tmp_path: Path) -> None:
    sampler = image_sampler(classes=["sneaker", "T-shirt/top", "bag"])
    write_samples(sampler, SampleOptions.defaults(classes=["bag", "t-shirt/top"]), tmp_path)
    assert files(tmp_path / "images")[:2] == ["0000-bag.png", "0001-T-shirt-top.png"]
    for column in range(5):
        assert (tile(tmp_path / "sheet.png", 0, column, 8, 8, 8)[0, 2] == 255).all()
        assert (tile(tmp_path / "sheet.png", 1, column, 8, 8, 8)[0, 1] == 255).all()


def test_a_periodic_model_writes_its_first_image_as_a_tile_too(tmp_path: Path) -> None:
    sampler = from_checkpoint(checkpoint("model=gan", "model.padding=circular"), "cpu")
    write_samples(sampler, SampleOptions.defaults(num_images=2), tmp_path)
    assert files(tmp_path) == ["images/0000.png", "images/0001.png", "sheet.png", "tiled.png"]
    tiled, first = pixels(tmp_path / "tiled.png"), pixels(tmp_path / "images" / "0000.png")
    assert torch.equal(tiled, torch.cat([torch.cat([first, first], 2)] * 2, 1))


def test_an_interpolation_has_one_row_per_pair_and_its_gif_is_a_loop(tmp_path: Path) -> None:
    write_samples(image_sampler(), SampleOptions.defaults(num_images=4, interpolate=8), tmp_path)
    images = [pixels(tmp_path / "images" / f"{index:04d}.png") for index in range(4)]
    for row in range(4):
        ends = [tile(tmp_path / "interpolation.png", row, column, 8, 8, 8) for column in (0, 8)]
        for end, image in zip(ends, (images[row], images[(row + 1) % 4]), strict=True):
            assert (end.int() - image.int()).abs().max() <= 1, "rounding differs between batches"
    with Image.open(tmp_path / "interpolation.gif") as gif:
        assert getattr(gif, "n_frames", 1) == 4 * 8
        assert gif.info["loop"] == 0


@pytest.mark.parametrize(("fps", "duration"), [(10, 100), (25, 40), (30, 30), (1, 1000)])
def test_a_gif_plays_at_the_given_frame_rate(fps: float, duration: int, tmp_path: Path) -> None:
    write_samples(sequence_sampler(), SampleOptions.defaults(num_images=2, fps=fps), tmp_path / "clips")
    write_samples(image_sampler(), SampleOptions.defaults(num_images=2, interpolate=2, fps=fps), tmp_path / "stills")
    for file in ("clips/animation.gif", "clips/sequences/0000.gif", "stills/interpolation.gif"):
        with Image.open(tmp_path / file) as gif:
            assert gif.info["duration"] == duration, file


@pytest.mark.parametrize(
    ("sampler", "options", "folder", "count"),
    [
        (sequence_sampler((3, 8, 8)), SampleOptions.defaults(num_images=2, frames=True), "sequences/0001", 5),
        (
            image_sampler((3, 8, 8)),
            SampleOptions.defaults(num_images=3, interpolate=4, frames=True),
            "interpolation",
            3 * 4,
        ),
    ],
)
def test_frames_writes_the_frames_of_a_gif_as_pngs(
    sampler: Sampler, options: SampleOptions, folder: str, count: int, tmp_path: Path
) -> None:
    """In colour, where the GIF has a palette."""
    write_samples(sampler, options, tmp_path)
    assert files(tmp_path / folder) == [f"{index:04d}.png" for index in range(count)]
    if sampler.makes_sequences:
        clip = to_uint8(next(iter(sampler.stream(2, seed=0)))[1])
        assert all(torch.equal(pixels(tmp_path / folder / f"{index:04d}.png"), clip[index]) for index in range(count))
    else:
        ends = [pixels(tmp_path / "images" / f"{index:04d}.png") for index in range(3)]
        starts = [pixels(tmp_path / folder / f"{4 * index:04d}.png") for index in range(3)]
        assert all((a.int() - b.int()).abs().max() <= 1 for a, b in zip(starts, ends, strict=True))


@pytest.mark.parametrize(
    ("sampler", "options"),
    [
        (image_sampler(), SampleOptions.defaults(frames=True)),
        (image_sampler(), SampleOptions.defaults(frames=True, reconstruct="a.png")),
        (sequence_sampler(), SampleOptions.defaults(frames=True, individual=False)),
    ],
)
def test_frames_without_a_gif_is_an_error(sampler: Sampler, options: SampleOptions, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="frames"):
        write_samples(sampler, options, tmp_path)
    assert not files(tmp_path)


def test_the_sheet_shows_the_first_images_and_no_more_are_drawn_than_needed(
    tmp_path: Path,
) -> None:
    model = StubGenerator()
    write_samples(Sampler(model, GREY), SampleOptions.defaults(num_images=10_000, individual=False), tmp_path)
    assert files(tmp_path) == ["sheet.png"]
    assert model.calls == -(-ON_SHEET // 16)
    write_samples(image_sampler(), SampleOptions.defaults(num_images=150, rows=3, columns=40), tmp_path)
    assert pixels(tmp_path / "sheet.png").shape == (1, 3 * 66 + 2, 40 * 66 + 2)
    assert files(tmp_path / "images")[-1] == "0149.png"


def test_memory_holds_at_most_two_chunks(tmp_path: Path) -> None:
    class Watched(StubGenerator):
        alive: ClassVar[list[weakref.ref[Tensor]]] = []
        most = 0

        def decode(self, z: Tensor, labels: Tensor | None) -> Tensor:
            images = super().decode(z, labels)
            self.alive.append(weakref.ref(images))
            self.most = max(self.most, sum(other() is not None for other in self.alive))
            return images

    model = Watched(GREY)
    write_samples(Sampler(model, GREY), SampleOptions.defaults(num_images=500), tmp_path)
    assert len(files(tmp_path / "images")) == 500
    assert model.most <= 2, "the current chunk and the one before it"


def test_sequences_are_gifs_and_rows_of_the_sheet(tmp_path: Path) -> None:
    first_look = write_samples(sequence_sampler(), SampleOptions.defaults(num_images=3, num_frames=7), tmp_path)
    assert first_look == tmp_path / "animation.gif"
    assert files(tmp_path) == ["animation.gif", *(f"sequences/{i:04d}.gif" for i in range(3)), "sheet.png"]
    clips = to_uint8(sequence_sampler().sample(3, num_frames=7))
    for row in range(3):
        for column in range(7):
            assert torch.equal(tile(tmp_path / "sheet.png", row, column, 8, 8, 8), clips[row, column])
    with Image.open(first_look) as gif:
        assert getattr(gif, "n_frames", 1) == 7
        assert gif.size == (3 * 66 + 2, 66 + 2)
    with Image.open(tmp_path / "sequences" / "0001.gif") as gif:
        assert gif.size == (8, 8)
        gif.seek(4)
        assert np.array_equal(np.array(gif.convert("L")), clips[1, 4, 0].numpy())


def test_the_futures_of_a_given_image_are_side_by_side(tmp_path: Path) -> None:
    Image.new("RGBA", (90, 60), (255, 0, 0, 128)).save(tmp_path / "start.png")
    options = SampleOptions.defaults(start=str(tmp_path / "start.png"), futures=4)
    first_look = write_samples(sequence_sampler(), options, tmp_path / "out")
    assert files(tmp_path / "out" / "sequences") == [f"0000-future{future}.gif" for future in range(4)]
    with Image.open(first_look) as gif:
        assert gif.size == (4 * 66 + 2, 66 + 2)
    starts = [tile(tmp_path / "out" / "sheet.png", row, 0, 8, 8, 8) for row in range(4)]
    grey = round(0.299 * 255 + (1 - 0.299) * 127)  # half of red on white
    assert all((start.int() - grey).abs().max() <= 2 for start in starts)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"])
@pytest.mark.parametrize("size", [(1, 1), (300, 7), (64, 48)])
def test_a_start_image_has_any_mode_and_size(tmp_path: Path, mode: str, size: tuple[int, int]) -> None:
    name = "start.tif" if mode == "CMYK" else "start.png"
    Image.new(mode, size).save(tmp_path / name)
    options = SampleOptions.defaults(start=str(tmp_path / name), individual=False)
    for shape in (GREY, COLOUR):
        write_samples(sequence_sampler(shape), options, tmp_path / "out")
        with Image.open(tmp_path / "out" / "sheet.png") as sheet:
            assert sheet.mode == ("L" if shape is GREY else "RGB")


def test_reconstructions_are_beside_their_originals(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for level, name in ((0, "b.png"), (200, "a.jpg"), (100, "c.webp")):
        Image.new("L", (30, 20), level).save(tmp_path / "in" / name)
    (tmp_path / "in" / "notes.txt").write_text("not an image")
    sampler = Sampler(StubAutoencoder(GREY), GREY)
    sheet = write_samples(sampler, SampleOptions.defaults(reconstruct=str(tmp_path / "in")), tmp_path / "out")
    assert files(tmp_path / "out" / "images") == ["00000-a.png", "00001-b.png", "00002-c.png"]
    for row, level in enumerate((200, 0, 100)):
        for column, expected in enumerate((level, 255 - level)):
            assert (tile(sheet, row, column, 8, 8, 8).int() - expected).abs().max() <= 2


@pytest.mark.parametrize(
    ("sampler", "options", "key"),
    [
        (image_sampler, {"start": "a.png"}, "start"),
        (image_sampler, {"futures": 2}, "futures"),
        (image_sampler, {"num_frames": 4}, "num_frames"),
        (image_sampler, {"reconstruct": "."}, "reconstruct"),
        (image_sampler, {"reconstruct": "missing.png"}, "reconstruct"),
        (image_sampler, {"reconstruct": ".", "select": 0.5}, "select"),
        (image_sampler, {"directions": {"pca0": 1.0}}, "directions"),
        (image_sampler, {"mix_seeds": [1]}, "mix_seeds"),
        (image_sampler, {"sliders": ["pca0"]}, "sliders"),
        (image_sampler, {"seeds": ["4-1"]}, "seeds"),
        (sequence_sampler, {"select": 0.5}, "select"),
        (image_sampler, {"rows": 3, "columns": 3}, "rows, columns"),
        (image_sampler, {"interpolate": 8, "num_images": 1}, "num_images"),
        (image_sampler, {"interpolate": 8, "num_images": 101}, "num_images"),
        (image_sampler, {"interpolate": 0}, "interpolate"),
        (image_sampler, {"truncation": -1.0}, "truncation"),
        (sequence_sampler, {"interpolate": 8}, "interpolate"),
        (sequence_sampler, {"reconstruct": "."}, "reconstruct"),
        (sequence_sampler, {"start": "broken.png"}, "start"),
        (sequence_sampler, {"start": "empty"}, "start"),
        (sequence_sampler, {"start": ["missing.png"]}, "start"),
        (sequence_sampler, {"rows": 1, "columns": 2, "futures": 2}, "rows, columns"),
    ],
)
def test_a_mistake_is_an_error_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sampler: Any, options: dict[str, Any], key: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing more")
    Image.new("L", (9, 9)).save("some.png")
    Path("empty").mkdir()
    with pytest.raises(UserError) as caught:
        write_samples(sampler(), SampleOptions.defaults(**options), Path("out"))
    assert caught.value.key == key
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("key", "value", "owner"),
    [
        ("project_space", "w", "project"),
        ("project_steps", 5, "project"),
        ("known", 0.3, "complete"),
        ("mix_layer", 1, "mix_seeds"),
    ],
)
def test_an_option_of_another_one_is_not_set_alone(key: str, value: object, owner: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"not set without {owner}") as mistake:
        write_samples(Sampler(StubGenerator(), (1, 8, 8)), SampleOptions.defaults(**{key: value}), tmp_path / "out")
    assert mistake.value.key == key
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("key", ["reconstruct", "project"])
@pytest.mark.parametrize(
    "ignored",
    [
        {"loop": True}, {"end": "b.png"}, {"start": "b.png"}, {"num_frames": 4}, {"actions": ["up"]},
        {"guidance": 2.0}, {"futures": 2}, {"drawing": True}, {"sliders": ["pca0"]}, {"seeds": [1]},
    ],
)  # fmt: skip
def test_an_option_that_an_output_does_not_use_is_an_error(key: str, ignored: dict[str, Any], tmp_path: Path) -> None:
    sampler = from_checkpoint(checkpoint("model=vae"), "cpu", ())
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    options = SampleOptions.defaults(**{key: str(tmp_path / "a.png")}, **ignored)
    with pytest.raises(UserError, match=f"not set with {key}") as mistake:
        write_samples(sampler, options, tmp_path / "out")
    assert mistake.value.key == next(iter(ignored))
    assert not (tmp_path / "out").exists()


def test_a_model_whose_codes_have_no_class_reconstructs_without_one() -> None:
    sampler = from_checkpoint(checkpoint("model=code_rnn", "model.conditional=true"), "cpu", ())
    images = torch.zeros(2, *sampler.image_shape)
    assert torch.equal(sampler.reconstruct(images), sampler.reconstruct(images, classes=[3]))
    with pytest.raises(UserError, match="one class for each sample"):
        sampler.sample(2, classes=[{3: 0.5, 4: 0.5}])
