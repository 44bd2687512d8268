"""The data sets that torchvision downloads, each turned once into one uint8 tensor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genimg.common.errors import UserError
from genimg.data.cache import user_folder
from genimg.data.fit import Fit, fit_images
from genimg.data.items import ImageShape, Part, Stored

_BY_FLAG: dict[Part, dict[str, Any]] = {"train": {"train": True}, "test": {"train": False}}
_BY_NAME: dict[Part, dict[str, Any]] = {"train": {"split": "train"}, "test": {"split": "test"}}

# torchvision class -> its arguments for each part, and the order of its axes
_SETS: dict[str, tuple[dict[Part, dict[str, Any]], str]] = {
    "MNIST": (_BY_FLAG, "NHW"),
    "FashionMNIST": (_BY_FLAG, "NHW"),
    "KMNIST": (_BY_FLAG, "NHW"),
    "EMNIST": (_BY_FLAG, "NWH"),  # its files hold every character transposed
    "CIFAR10": (_BY_FLAG, "NHWC"),
    "CIFAR100": (_BY_FLAG, "NHWC"),
    "SVHN": (_BY_NAME, "NCHW"),
    "STL10": (_BY_NAME, "NCHW"),
}
_TO_NCHW = {
    "NHW": lambda x: x.unsqueeze(1),
    "NWH": lambda x: x.unsqueeze(1).transpose(2, 3),
    "NHWC": lambda x: x.permute(0, 3, 1, 2),
    "NCHW": lambda x: x,
}


def open_torchvision(name: str, root: str | None, download: bool, **arguments: Any) -> Any:
    """The torchvision data set in `root`, or in the user's cache folder.

    Where it is not there yet it is downloaded: into the cache folder always, into `root` with `download`.
    """
    import torchvision.datasets  # 3 s, and only these sets need it

    folder, download = (Path(root), download) if root else (user_folder() / "datasets", True)
    data_set = getattr(torchvision.datasets, name)
    try:
        if download:
            folder.mkdir(parents=True, exist_ok=True)
        return data_set(str(folder), download=download, **arguments)
    except ImportError as error:  # gdown, for what lies on a drive
        raise UserError("data", name, "an installed helper of torchvision", str(error).strip()) from error
    except (OSError, RuntimeError) as error:
        said = (
            f"the download failed ({str(error).strip() or type(error).__name__})"
            if download
            else "they are not there, or damaged"
        )
        raise UserError(
            "data.root",
            str(folder),
            f"the files of {name} as torchvision unpacks them, or a machine that can download them",
            f"{said}; where there is internet "
            f"call torchvision.datasets.{name}(FOLDER, download=True), copy FOLDER, give data.root=FOLDER; "
            "data=digits needs no download",
        ) from error


@dataclass(frozen=True)
class TorchvisionStills:
    """A data set of torchvision that keeps its images in one array.

    name: class in torchvision.datasets (a key of the table above).
    root: folder of the download; None: the user's cache folder.
    download: whether what is not in `root` is downloaded into it.
    fit: how images of another shape are fitted: crop, pad or stretch.
    variant: which of the sets that come under one name (EMNIST's), one of the keys of `variants`.
    variants: the number of classes of each, from which the configuration takes data.num_classes.
    """

    name: str
    root: str | None = None
    download: bool = False
    fit: Fit = "pad"
    variant: str | None = None
    variants: Mapping[str, int] | None = None
    own_test: bool = field(default=True, init=False)

    def load(self, part: Part, shape: ImageShape) -> Stored:
        if self.name not in _SETS:
            raise UserError("data.source.name", self.name, f"one of {', '.join(_SETS)}")
        if self.variants and self.variant not in self.variants:
            raise UserError("data.variant", self.variant, ", ".join(self.variants))
        arguments, axes = _SETS[self.name]
        variant = {"split": self.variant} if self.variant else {}
        data_set = open_torchvision(self.name, self.root, self.download, **arguments[part], **variant)
        images = _TO_NCHW[axes](torch.as_tensor(data_set.data))
        labels = torch.as_tensor(np.asarray(data_set.targets if hasattr(data_set, "targets") else data_set.labels))
        labels, classes = _named(labels.long(), tuple(getattr(data_set, "classes", "0123456789")))  # SVHN: digits
        return Stored(fit_images(images, shape, self.fit).contiguous(), labels, classes=classes)


def _named(labels: Tensor, classes: tuple[str, ...]) -> tuple[Tensor, tuple[str, ...]]:
    """Labels from 0. EMNIST's letters count from 1 and name a class 0 that no image has."""
    if classes[:1] == ("N/A",):
        return labels - 1, classes[1:]
    return labels, classes
