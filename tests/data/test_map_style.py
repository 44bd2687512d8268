"""Datasets and data modules of other packages as sources of images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pytorch_lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.datasets import FakeData
from torchvision.transforms import v2

from genimg.common.errors import UserError
from genimg.data.items import ImageShape, Part
from genimg.data.map_style import MapStyle
from genimg.sampling.load import load
from tests.trained import run_folder

SHAPE: ImageShape = (3, 8, 8)
PIXELS = torch.randint(0, 256, (12, 3, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


class Listed(Dataset[Any]):
    """Items of a list."""

    def __init__(self, items: list[Any]) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Any:
        return self.items[index]


class Module(LightningDataModule):
    """Ten items to train on and two to test with, after `setup`."""

    def setup(self, stage: str) -> None:
        self.splits = {"fit": Listed(list(PIXELS[:10])), "test": Listed(list(PIXELS[10:]))}

    def train_dataloader(self) -> DataLoader[Any]:
        return DataLoader(self.splits["fit"], batch_size=2)

    def test_dataloader(self) -> DataLoader[Any]:
        return DataLoader(self.splits["test"], batch_size=2)


class Noisy(Listed):
    """Images that three generators change."""

    def __getitem__(self, index: int) -> Tensor:
        noise = torch.randint(0, 99, (1,)) + np.random.randint(99) + torch.empty(1).uniform_(0, 9).byte()  # noqa: NPY002
        return (self.items[index] // 2 + noise).clamp(0, 255).byte()


def pixels(source: MapStyle, part: Part = "train", draw: int = 0) -> Tensor:
    items = source.load(part, SHAPE)
    return items.fetch(torch.arange(len(items)), draw)


KINDS = {
    "uint8 tensors": lambda x: x,
    "tensors in [0, 1]": lambda x: x / 255,
    "tensors in [-1, 1]": lambda x: x / 127.5 - 1,
    "arrays": lambda x: x.permute(1, 2, 0).numpy(),
    "images": lambda x: Image.fromarray(x.permute(1, 2, 0).numpy()),
    "tuples": lambda x: (x, 3),
    "mappings": lambda x: {"label": 3, "image": x},
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_item_gives_the_same_pixels(kind: str) -> None:
    dataset = Listed([KINDS[kind](image) for image in PIXELS])
    assert torch.equal(pixels(MapStyle(dataset)), PIXELS)
    assert torch.equal(pixels(MapStyle(dataset, in_memory_bytes=0)), PIXELS)


def test_sizes_and_channels_are_fitted() -> None:
    grey = Listed([image[0] for image in PIXELS])  # (H, W)
    items = MapStyle(grey, fit="pad").load("train", (3, 16, 24))
    assert items.shape == (3, 16, 24) and items.fetch(torch.arange(2), 0).shape == (2, 3, 16, 24)


def test_labels_are_those_of_the_dataset() -> None:
    dataset = FakeData(size=20, image_size=(3, 9, 7), num_classes=10)
    found = MapStyle(dataset, num_classes=10).load("train", SHAPE)
    assert found.labels is not None and found.labels.tolist() == [int(dataset[row][1]) for row in range(20)]
    assert found.classes == tuple("0123456789")
    named = Listed(list(PIXELS))
    named.targets, named.classes = [1, 0] * 6, ["cat", "dog"]  # pyright: ignore[reportAttributeAccessIssue]
    found = MapStyle(named, num_classes=2).load("train", SHAPE).subset(torch.tensor([2, 3]))
    assert found.labels is not None and found.labels.tolist() == [1, 0] and found.classes == ("cat", "dog")


def test_random_transforms_are_a_function_of_the_draw_and_the_index() -> None:
    source = MapStyle(Noisy(list(PIXELS)))
    state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002  # pyright: ignore
    first, again, other = pixels(source), pixels(source), pixels(source, draw=1)
    assert torch.equal(first, again) and not torch.equal(first, other)
    items = source.load("train", SHAPE)
    assert torch.equal(items.subset(torch.tensor([5])).fetch(torch.tensor([0]), 0), first[5:6])
    assert torch.equal(torch.get_rng_state(), state[0])
    assert np.array_equal(np.random.get_state()[1], state[1])  # noqa: NPY002  # pyright: ignore
    flipped = FakeData(size=40, image_size=(3, 8, 8), transform=v2.RandomHorizontalFlip())
    assert not torch.equal(pixels(MapStyle(flipped)), pixels(MapStyle(flipped), draw=1))


def test_a_data_module_gives_its_training_and_test_data() -> None:
    source = MapStyle(Module(), test={})
    assert source.has_test_split and not MapStyle(Listed(list(PIXELS)), test={}).has_test_split
    assert torch.equal(torch.cat([pixels(source), pixels(source, "test")]), PIXELS)
    given = MapStyle(Module(), test=Listed(list(PIXELS[:3])))
    assert torch.equal(pixels(given, "test"), PIXELS[:3])


@pytest.mark.parametrize(
    ("train", "num_classes", "message"),
    [
        ({}, 0, "a dataset with __len__"),
        ({"size": 3}, 0, "a mapping without _target_"),
        (Listed([()] * 9), 0, "an empty item"),
        (Listed([torch.zeros(3, 3, 8, 8)] * 9), 0, "an item of shape"),
        (Listed([torch.tensor(0.5)] * 9), 0, "an item of shape"),
        (Listed([(x, float("inf")) for x in PIXELS]), 2, "a whole number"),
        (iter([1]), 0, "a dataset with __len__"),
        (Listed([]), 0, "a dataset with __len__"),
        (Listed([x.float() for x in PIXELS]), 0, r"in \[0, 1\] or \[-1, 1\]"),
        (Listed([{"picture": x} for x in PIXELS]), 0, "image or images"),
        (Listed(["a.png"] * 9), 0, "images of Pillow"),
        (Listed([torch.zeros(5, 8, 8).byte()] * 9), 0, "grey or RGB"),
        (Listed(list(PIXELS)), 2, "a whole number"),
        (Listed([(x, 7) for x in PIXELS]), 2, "more than 7"),
    ],
)
def test_what_cannot_be_used_is_one_message(train: Any, num_classes: int, message: str) -> None:
    with pytest.raises(UserError, match=message):
        pixels(MapStyle(train, num_classes=num_classes))


def test_it_is_trained_and_sampled(tmp_path: Path) -> None:
    words = ["data=dataset", "data.image_size=8", "data.num_classes=10", "model.conditional=true", "data.batch_size=16"]
    words += ["+data.source.train._target_=torchvision.datasets.FakeData", "+data.source.train.size=60"]
    words += ["+data.source.train.image_size=[3,12,10]", "model=vae", "model.width=4", "model.hidden=16"]
    folder = run_folder(tmp_path / "run", *words, "callbacks=none", "logger=none", "budget.images=32")
    assert load(folder).sample(2, classes=[3]).shape == (2, 3, 8, 8)


class Rare(Listed):
    """Images of which a transform changes one in a hundred."""

    def __getitem__(self, index: int) -> Tensor:
        return self.items[index] if torch.rand(1) > 0.01 else 255 - self.items[index]


def test_a_rare_random_transform_is_drawn_anew() -> None:
    source = MapStyle(Rare(list(PIXELS)))
    drawn = [pixels(source, draw=draw) for draw in range(40)]
    assert any(not torch.equal(one, PIXELS) for one in drawn)


def test_an_image_out_of_range_is_found_wherever_it_is() -> None:
    dataset = Listed([x / 255 for x in PIXELS.repeat(20, 1, 1, 1)])
    for bad in (torch.full((3, 8, 8), 200.0), torch.full((3, 8, 8), float("nan"))):
        dataset.items[101] = bad
        with pytest.raises(UserError, match="from 0 to 1"):
            pixels(MapStyle(dataset))
