"""Folders of images: in memory, cached, lazy; damaged files; classes."""

import logging
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from genimg.common.errors import UserError
from genimg.data.cache import Cache
from genimg.data.image_folder import ImageFolder
from genimg.data.images import FEWEST, LazyImages
from genimg.data.items import Items
from genimg.data.module import GenerativeData
from tests.data.stand_ins import png_bomb

SHAPE = (1, 8, 8)
COUNT = 40


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """COUNT images in two classes; image i has the level i."""
    for level in range(COUNT):
        path = tmp_path / "images" / ("even", "odd")[level % 2] / f"{level:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), level).save(path)
    return tmp_path / "images"


def load(folder: Path, **settings: object) -> Items:
    return ImageFolder(str(folder), **settings).load("train", SHAPE)  # type: ignore[arg-type]


def all_of(items: Items) -> Tensor:
    return items.fetch(torch.arange(len(items)), draw=0)


def levels(items: Items) -> list[int]:
    return all_of(items)[:, 0, 0, 0].tolist()


def test_images_come_in_the_order_of_their_names_with_their_class(folder: Path) -> None:
    items = load(folder)
    assert levels(items) == [*range(0, COUNT, 2), *range(1, COUNT, 2)]
    assert items.classes == ("even", "odd")
    assert items.labels is not None
    assert items.labels.tolist() == [level % 2 for level in levels(items)]


def test_damaged_files_are_listed_and_skipped(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    complete = (folder / "even" / "002.png").read_bytes()
    (folder / "even" / "002.png").write_bytes(complete[: len(complete) // 2])
    (folder / "odd" / "003.png").write_bytes(b"")
    (folder / "odd" / "005.png").write_text("not an image")
    with caplog.at_level(logging.WARNING):
        items = load(folder)
    assert sorted(levels(items)) == [level for level in range(COUNT) if level not in (2, 3, 5)]
    assert items.labels is not None
    assert items.labels.tolist() == [level % 2 for level in levels(items)]
    assert "3 of 40 images" in caplog.text
    assert all(name in caplog.text for name in ("002.png", "003.png", "005.png"))


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("lazily", [False, True])
def test_decompression_bombs_are_listed_and_skipped(
    folder: Path, lazily: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Above our limit, above Pillow's limit for a warning and above its limit for an error."""
    for number, side in ((2, 8193), (4, 9500), (6, 50_000)):
        (folder / "even" / f"{number:03d}.png").write_bytes(png_bomb(side))
    found = load(folder, **({"in_memory_bytes": 0} if lazily else {}))
    assert not {2, 4, 6} & set(levels(found)) and len(found) == len(list(folder.rglob("*.png"))) - 3
    for number in (2, 4, 6):
        assert re.search(rf"{number:03d}\.png: TooLargeError \(.*more than 67,108,864 pixels\)", caplog.text)


def test_a_postscript_file_is_not_opened(folder: Path) -> None:
    """Pillow would pass it to a PostScript interpreter."""
    (folder / "even" / "002.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    assert 2 not in levels(load(folder))


def test_too_few_readable_images_are_an_error(folder: Path) -> None:
    for path in sorted(folder.rglob("*.png"))[FEWEST - 1 :]:
        path.write_bytes(b"")
    with pytest.raises(UserError, match="at least"):
        load(folder)


def test_a_cache_gives_the_same_images_without_reading_the_files(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The files are overwritten, with the size and the time that the key of the cache is computed from unchanged."""
    (folder / "odd" / "003.png").write_bytes(b"")
    plain, first = load(folder), load(folder, cache=str(tmp_path / "cache"))
    for path in folder.rglob("*.png"):
        state = path.stat()
        path.write_bytes(bytes(state.st_size))
        os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    caplog.clear()
    second = load(folder, cache=str(tmp_path / "cache"))
    assert torch.equal(all_of(plain), all_of(first))
    assert torch.equal(all_of(plain), all_of(second))
    assert "003.png" in caplog.text
    assert sorted(path.suffix for path in (tmp_path / "cache").iterdir()) == [".json", ".npy"]


def test_a_changed_file_or_setting_invalidates_the_cache(folder: Path, tmp_path: Path) -> None:
    cache = str(tmp_path / "cache")
    load(folder, cache=cache)
    Image.new("L", (8, 8), 200).save(folder / "even" / "000.png")
    assert levels(load(folder, cache=cache))[0] == 200
    state = os.stat(folder / "even" / "000.png")
    Image.new("L", (8, 8), 201).save(folder / "even" / "000.png")
    os.utime(folder / "even" / "000.png", ns=(state.st_atime_ns, state.st_mtime_ns + 1))
    assert levels(load(folder, cache=cache))[0] == 201
    os.rename(folder / "odd" / "001.png", folder / "odd" / "900.png")
    assert levels(load(folder, cache=cache))[-1] == 1
    Image.new("LA", (8, 8), (0, 0)).save(folder / "even" / "000.png")
    assert levels(load(folder, cache=cache, background="white"))[0] == 255
    assert levels(load(folder, cache=cache, background="black"))[0] == 0


def test_changing_a_cached_array_does_not_change_the_cache(folder: Path, tmp_path: Path) -> None:
    cache = str(tmp_path / "cache")
    items = load(folder, cache=cache)
    getattr(items, "images").fill_(9)  # noqa: B009 - not an attribute of Items
    assert levels(load(folder, cache=cache))[:3] == [0, 2, 4]


def test_an_interrupted_cache_leaves_no_file(tmp_path: Path) -> None:
    def interrupted(array: np.ndarray) -> dict[str, str]:
        raise KeyboardInterrupt

    cache = Cache(tmp_path / "cache", "key")
    with pytest.raises(KeyboardInterrupt):
        cache.get((4, 1, 8, 8), interrupted)
    assert list((tmp_path / "cache").iterdir()) == []
    assert cache.get((4, 1, 8, 8), lambda array: {})[0].shape == (4, 1, 8, 8)


def test_the_message_for_a_cache_that_cannot_be_written_names_its_key(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError) as caught:
        load(folder, cache=str(tmp_path / "file" / "below"))
    assert caught.value.key == "data.cache"


def module(folder: Path, workers: int, **settings: Any) -> GenerativeData:
    source = ImageFolder(str(folder), **settings)
    data = GenerativeData(
        source, name="f", image_size=8, channels=1, batch_size=8, num_classes=2, flip=True, workers=workers
    )
    data.setup("fit")
    return data


def test_lazy_images_give_the_same_batches_as_images_in_memory(folder: Path) -> None:
    """In the same order, from worker processes too, and from any position."""
    assert isinstance(load(folder, in_memory_bytes=0), LazyImages)
    stored, lazy = module(folder, workers=0), module(folder, workers=2, in_memory_bytes=0)
    assert lazy.fingerprint == stored.fingerprint
    for seen in (0, 24):
        stored.images_seen = lazy.images_seen = seen
        for expected, got, _ in zip(stored.train_dataloader(), lazy.train_dataloader(), range(10), strict=False):
            assert got["epoch"] == expected["epoch"]
            assert all(torch.equal(got[key], expected[key]) for key in ("images", "labels", "indices"))
    got, expected = (list(data.val_dataloader()) for data in (lazy, stored))
    assert all(torch.equal(a["images"], b["images"]) for a, b in zip(got, expected, strict=True))


def test_a_damaged_lazy_image_is_replaced_by_one_of_its_class(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    complete = (folder / "even" / "038.png").read_bytes()
    (folder / "even" / "038.png").write_bytes(complete[:-30])
    (folder / "odd" / "003.png").write_bytes(b"")
    items = load(folder, in_memory_bytes=0)
    assert isinstance(items, LazyImages)
    assert levels(items) == [*range(0, 38, 2), 0, 1, *range(5, COUNT, 2)]
    assert "038.png" in caplog.text


def test_images_read_by_threads_stay_in_order(tmp_path: Path) -> None:
    for number in range(300):
        Image.fromarray(np.full((9, 9), number % 256, np.uint8)).save(tmp_path / f"{number:04d}.bmp")
    assert levels(load(tmp_path)) == [number % 256 for number in range(300)]


def test_a_class_of_damaged_files_only_is_named(folder: Path) -> None:
    (folder / "broken").mkdir()
    (folder / "broken" / "a.png").write_bytes(b"damaged")
    with pytest.raises(UserError, match="no readable image of class broken"):
        load(folder)


def test_images_that_are_all_alike_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(10):
        Image.new("L", (8, 8), 7).save(tmp_path / f"{number}.png")
    load(tmp_path)
    assert "all 10 images are alike" in caplog.text


@pytest.mark.parametrize("settings", [{}, {"cache": True}, {"in_memory_bytes": 0}], ids=["memory", "cache", "lazy"])
def test_file_names_may_be_any_bytes(
    folder: Path, settings: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    if "cache" in settings:
        settings = {"cache": str(tmp_path / "cache")}
    os.rename(folder / "odd", os.fsencode(folder) + b"/odd\xe9")
    with open(os.fsencode(folder) + b"/odd\xe9/\xff\x1b[31m.png", "wb") as file:
        file.write(b"damaged")
    items = load(folder, **settings)
    assert len(items) == COUNT and items.classes == ("even", "odd\\xe9")
    assert len(all_of(items)) == COUNT
    assert r"\xff\x1b[31m.png: UnidentifiedImageError" in caplog.text
    caplog.text.encode()
