"""Readers of known data sets, on small files in the format of their downloads."""

import gzip
import hashlib
import pickle
import resource
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision.datasets
from PIL import Image
from scipy.io import savemat
from sklearn.datasets import load_digits

from genimg.common.errors import UserError
from genimg.data.celeba import CelebA
from genimg.data.digits import Digits
from genimg.data.idx import FashionMNIST, read_idx
from genimg.data.items import Part
from genimg.data.resize import fit_images
from genimg.data.torchvision_sets import TorchvisionStills

RNG = np.random.default_rng(0)


def pixels(*shape: int) -> np.ndarray:
    return RNG.integers(0, 256, shape, dtype=np.uint8)


def write_idx(path: Path, values: np.ndarray, packed: bool = True) -> None:
    content = bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape) + values.tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content) if packed else content)


# digits


def test_digits_are_those_of_scikit_learn_in_256_levels() -> None:
    items = Digits(margin=0).load("train", (1, 8, 8))
    data: Any = load_digits()
    assert items.labels is not None
    assert items.labels.tolist() == data["target"].tolist()
    expected = (data["images"] * 255 / 16 + 0.5).astype(int)
    assert items.images[:, 0].tolist() == expected.tolist()


@pytest.mark.parametrize("shape", [(1, 32, 32), (3, 48, 64), (1, 100, 100), (3, 8, 8)])
def test_digits_fit_every_shape(shape: tuple[int, int, int]) -> None:
    images = Digits().load("train", shape).images
    assert images.shape == (1797, *shape)
    assert images.float().amax((1, 2, 3)).min() > 120
    assert images[:, :, 0].float().mean() < 16  # the margin: nearly black


# resizing of tensors


def test_fitting_tensors() -> None:
    wide = torch.zeros(1, 3, 32, 64, dtype=torch.uint8)
    wide[:, 0, :, :16] = wide[:, 0, :, 48:] = 255
    wide[:, 1, :, 16:48] = 255
    assert fit_images(wide, (3, 32, 32), "crop")[0, :, 0, 0].tolist() == [0, 255, 0]
    assert fit_images(wide, (3, 32, 32), "stretch")[0, :, 0, 0].tolist() == [255, 0, 0]
    padded = fit_images(wide, (3, 32, 32), "pad", background=9)
    assert padded[0, :, 0, 0].tolist() == padded[0, :, -1, -1].tolist() == [9, 9, 9]
    assert padded[0, :, 16, 1].tolist() == [255, 0, 0]
    assert fit_images(wide, (1, 32, 64), "crop")[0, 0, 0, [0, 32]].tolist() == [76, 150]
    grey = torch.full((2, 1, 8, 8), 7, dtype=torch.uint8)
    assert fit_images(grey, (3, 8, 8), "crop").tolist() == torch.full((2, 3, 8, 8), 7).tolist()


def test_shrinking_tensors_is_antialiased() -> None:
    checks = (torch.arange(126).view(-1, 1) + torch.arange(126)) % 2 * 255  # 7 to 1: centres meet a pixel
    inner = fit_images(checks.byte().view(1, 1, 126, 126), (1, 18, 18), "stretch")[..., 2:-2, 2:-2]
    assert (inner.float() - 127.5).abs().max() < 3


# IDX


def fashion(folder: Path, packed: bool = True) -> tuple[np.ndarray, np.ndarray]:
    images, labels = pixels(30, 28, 28), (np.arange(30) % 10).astype(np.uint8)
    for prefix, count in (("train", 30), ("t10k", 12)):
        write_idx(folder / f"{prefix}-images-idx3-ubyte.gz", images[:count], packed)
        write_idx(folder / f"{prefix}-labels-idx1-ubyte.gz", labels[:count], packed)
    return images, labels


@pytest.mark.parametrize("packed", [True, False])
def test_fashion_mnist_reads_idx_files(tmp_path: Path, packed: bool) -> None:
    images, labels = fashion(tmp_path, packed)
    items = FashionMNIST(str(tmp_path)).load("train", (1, 28, 28))
    assert items.images[:, 0].tolist() == images.tolist()
    assert items.labels is not None
    assert items.labels.tolist() == labels.tolist()
    assert len(FashionMNIST(str(tmp_path)).load("test", (1, 28, 28))) == 12


@pytest.mark.parametrize(
    "damage", [lambda b: b[:-200], lambda b: b"\x1f\x8bnonsense", lambda b: b"hello", lambda b: b""]
)
def test_damaged_idx_files_are_named(tmp_path: Path, damage) -> None:
    fashion(tmp_path)
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UserError, match=path.name):
        FashionMNIST(str(tmp_path)).load("train", (1, 28, 28))


@pytest.mark.parametrize("claimed_size", [10, 2**31 + 1])
def test_a_gzip_bomb_is_not_decompressed(claimed_size: int, tmp_path: Path) -> None:
    header = b"\x00\x00\x08\x01" + claimed_size.to_bytes(4, "big")
    with gzip.open(tmp_path / "bomb.gz", "wb", compresslevel=1) as file:
        file.write(header)
        for _ in range(512):
            file.write(bytes(2**20))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(UserError, match="damaged"):
        read_idx(tmp_path / "bomb.gz", 1)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kilobytes


@pytest.mark.parametrize("axes", [1, 2, 4])
def test_idx_images_of_other_axes_are_named(tmp_path: Path, axes: int) -> None:
    fashion(tmp_path)
    path = tmp_path / "train-images-idx3-ubyte.gz"
    write_idx(path, pixels(*[4] * axes))
    with pytest.raises(UserError, match=f"(?s){path.name} with {axes} axes.*3 axes"):
        FashionMNIST(str(tmp_path)).load("train", (1, 28, 28))


def test_idx_labels_fit_the_images(tmp_path: Path) -> None:
    images, labels = fashion(tmp_path)
    path = tmp_path / "train-labels-idx1-ubyte.gz"
    write_idx(path, labels[:-2])
    with pytest.raises(UserError, match=f"(?s){len(images) - 2} labels.*{len(images)}, one for each"):
        FashionMNIST(str(tmp_path)).load("train", (1, 28, 28))
    write_idx(path, np.full_like(labels, 10))
    with pytest.raises(UserError, match=r"(?s)label 10.*0 to 9"):
        FashionMNIST(str(tmp_path)).load("train", (1, 28, 28))


# data sets of torchvision


@pytest.fixture
def no_download(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without internet."""

    def fail(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    for module in ("mnist", "utils", "cifar", "svhn", "stl10", "celeba"):
        for name in ("download_and_extract_archive", "download_url", "download_file_from_google_drive"):
            if hasattr(getattr(torchvision.datasets, module), name):
                monkeypatch.setattr(f"torchvision.datasets.{module}.{name}", fail)


@pytest.mark.parametrize("name", ["MNIST", "KMNIST", "CIFAR10", "SVHN", "STL10", "EMNIST"])
def test_a_failed_download_says_what_to_do(tmp_path: Path, no_download: None, name: str) -> None:
    variant = "balanced" if name == "EMNIST" else None
    with pytest.raises(UserError, match="no route to host") as caught:
        TorchvisionStills(name, str(tmp_path), download=True, variant=variant).load("train", (1, 28, 28))
    assert caught.value.key == "data.root"
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize("source", [TorchvisionStills("MNIST", "there"), FashionMNIST("there"), CelebA("there")])
def test_nothing_is_downloaded_without_download(
    source: TorchvisionStills | FashionMNIST | CelebA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="missing or damaged"):
        source.load("train", (1, 28, 28))
    assert not Path("there").exists()


def test_fashion_mnist_falls_back_to_torchvision(
    tmp_path: Path, no_download: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(UserError, match="cache"):
        FashionMNIST(system_folder=str(tmp_path / "not-installed")).load("train", (1, 28, 28))


@pytest.mark.parametrize(
    ("name", "variant", "first", "classes"),
    [
        ("MNIST", None, 0, 10),
        ("KMNIST", None, 0, 10),
        ("EMNIST", "balanced", 0, 47),
        ("EMNIST", "letters", 1, 26),
    ],
)
def test_the_mnist_family(
    tmp_path: Path, no_download: None, name: str, variant: str | None, first: int, classes: int
) -> None:
    images, labels = pixels(20, 28, 28), (np.arange(20) % classes + first).astype(np.uint8)
    for part, official in (("train", "train"), ("test", "t10k")):
        stem = f"emnist-{variant}-{part}" if variant else official
        write_idx(tmp_path / name / "raw" / f"{stem}-images-idx3-ubyte", images, packed=False)
        write_idx(tmp_path / name / "raw" / f"{stem}-labels-idx1-ubyte", labels, packed=False)
    items = TorchvisionStills(name, str(tmp_path), variant=variant).load("train", (1, 28, 28))
    expected = images.transpose(0, 2, 1) if name == "EMNIST" else images
    assert items.images[:, 0].tolist() == expected.tolist()
    assert items.labels is not None
    assert items.labels.tolist() == [n % classes for n in range(20)]
    assert len(items.classes) == classes


@pytest.mark.parametrize(("name", "classes"), [("CIFAR10", 10), ("CIFAR100", 100)])
def test_the_cifars(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, classes: int) -> None:
    data_set = getattr(torchvision.datasets, name)
    key = "labels" if name == "CIFAR10" else "fine_labels"
    folder = tmp_path / data_set.base_folder
    folder.mkdir()
    images, labels = pixels(10, 3, 32, 32), list(range(10))
    for file, _ in data_set.train_list + data_set.test_list:
        (folder / file).write_bytes(pickle.dumps({"data": images.reshape(10, -1), key: labels}))
    meta = {data_set.meta["key"]: [f"class {n}" for n in range(classes)]}
    (folder / data_set.meta["filename"]).write_bytes(pickle.dumps(meta))
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda *_: True)
    items = TorchvisionStills(name, str(tmp_path)).load("test", (3, 32, 32))
    assert items.images.tolist() == images.tolist()
    assert items.labels is not None
    assert items.labels.tolist() == labels
    assert items.classes == tuple(f"class {n}" for n in range(classes))


def test_svhn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = pixels(12, 3, 32, 32)
    labels = np.arange(12) % 10
    stored = {"X": images.transpose(2, 3, 1, 0), "y": np.where(labels == 0, 10, labels)[:, None]}
    savemat(tmp_path / "train_32x32.mat", stored)
    digest = hashlib.md5((tmp_path / "train_32x32.mat").read_bytes()).hexdigest()
    split = ["unused", "train_32x32.mat", digest]
    monkeypatch.setitem(torchvision.datasets.SVHN.split_list, "train", split)
    items = TorchvisionStills("SVHN", str(tmp_path)).load("train", (3, 32, 32))
    assert items.images.tolist() == images.tolist()
    assert items.labels is not None
    assert items.labels.tolist() == labels.tolist()
    assert len(items.classes) == 10


def test_stl10(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / torchvision.datasets.STL10.base_folder
    folder.mkdir()
    images = pixels(6, 3, 96, 96)
    (folder / "train_X.bin").write_bytes(images.transpose(0, 1, 3, 2).tobytes())
    (folder / "train_y.bin").write_bytes((np.arange(6) + 1).astype(np.uint8).tobytes())
    (folder / "class_names.txt").write_text("\n".join(f"thing {n}" for n in range(10)))
    monkeypatch.setattr("torchvision.datasets.stl10.check_integrity", lambda *_: True)
    items = TorchvisionStills("STL10", str(tmp_path)).load("train", (3, 96, 96))
    assert items.images.tolist() == images.tolist()
    assert items.labels is not None
    assert items.labels.tolist() == list(range(6))
    assert TorchvisionStills("STL10", str(tmp_path)).load("train", (3, 64, 64)).shape == (3, 64, 64)


_PARTS: tuple[tuple[Part, range], ...] = (("train", range(16)), ("test", range(16, 24)))


def test_celeba(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    faces = tmp_path / "celeba" / "img_align_celeba"
    faces.mkdir(parents=True)
    names = [f"{number:06d}.jpg" for number in range(1, 25)]
    for number, name in enumerate(names):
        Image.new("RGB", (178, 218), (10 * number, 0, 0)).save(faces / name, quality=95)
    tables = {
        "list_eval_partition.txt": [f"{name} {2 if number >= 16 else 0}" for number, name in enumerate(names)],
        "identity_CelebA.txt": [f"{name} 1" for name in names],
        "list_bbox_celeba.txt": ["24", "image_id x y w h", *(f"{name} 0 0 1 1" for name in names)],
        "list_landmarks_align_celeba.txt": ["24", "a b", *(f"{name} 0 0" for name in names)],
        "list_attr_celeba.txt": ["24", "Smiling", *(f"{name} 1" for name in names)],
    }
    for file, lines in tables.items():
        (tmp_path / "celeba" / file).write_text("\n".join(lines))
    monkeypatch.setattr(torchvision.datasets.CelebA, "_check_integrity", lambda _: True)
    for part, numbers in _PARTS:
        items = CelebA(str(tmp_path), cache=False).load(part, (3, 64, 64))
        red = items.fetch(torch.arange(len(items)), 0)[:, 0, 32, 32].long()
        assert (red - torch.tensor([10 * number for number in numbers])).abs().max() <= 3
        assert items.labels is None


def test_an_unknown_variant_lists_the_known(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="letters"):
        TorchvisionStills("EMNIST", str(tmp_path), variant="lettres", variants={"letters": 26}).load(
            "train", (1, 28, 28)
        )
