"""The data sets that torchvision downloads, each converted to one uint8 tensor."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genimg.common.errors import UserError, first_line
from genimg.data.cache import user_folder
from genimg.data.items import ImageShape, Part, TensorItems
from genimg.data.resize import Fit, fit_images

_BY_FLAG: dict[Part, dict[str, Any]] = {"train": {"train": True}, "test": {"train": False}}
_BY_NAME: dict[Part, dict[str, Any]] = {"train": {"split": "train"}, "test": {"split": "test"}}

# torchvision class -> its arguments for each part, and the order of the axes of its images
_SETS: dict[str, tuple[dict[Part, dict[str, Any]], str]] = {
    "MNIST": (_BY_FLAG, "NHW"),
    "FashionMNIST": (_BY_FLAG, "NHW"),
    "KMNIST": (_BY_FLAG, "NHW"),
    "EMNIST": (_BY_FLAG, "NWH"),  # its files contain transposed characters
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
    """Opens a torchvision data set in `root`, or in the user's cache folder.

    Missing files are downloaded: always into the cache folder, into `root` only with `download`.

    Raises:
        UserError: if files are missing or damaged, or the download fails.
    """
    import torchvision.datasets  # takes 3 s, and only these data sets need it

    folder, download = (Path(root), download) if root else (user_folder() / "datasets", True)
    data_set = getattr(torchvision.datasets, name)
    try:
        if download:
            folder.mkdir(parents=True, exist_ok=True)
        return data_set(str(folder), download=download, **arguments)
    except ImportError as error:  # gdown, for files on Google Drive
        raise UserError("data", name, "the package that torchvision downloads it with", str(error).strip()) from error
    except (OSError, RuntimeError) as error:
        why = f"the download failed ({first_line(error)})" if download else "they are missing or damaged"
        hint = (
            f"{why}; on a machine with internet access run torchvision.datasets.{name}(FOLDER, download=True), copy "
            "FOLDER and set data.root=FOLDER; data=digits needs no download"
        )
        expected = f"the files of {name} as torchvision stores them, or access to the internet"
        raise UserError("data.root", str(folder), expected, hint) from error


@dataclass(frozen=True)
class TorchvisionStills:
    """A data set of still images that torchvision stores in one array.

    name: class in torchvision.datasets (a key of the table above).
    root: folder of the download; None = the user's cache folder.
    download: whether files missing in `root` are downloaded into it.
    fit: how images are converted to another shape: crop, pad or stretch.
    variant: for EMNIST, one of the keys of `variants`.
    variants: number of classes of each variant; the configuration of data.num_classes refers to it.
    """

    name: str
    root: str | None = None
    download: bool = False
    fit: Fit = "pad"
    variant: str | None = None
    variants: Mapping[str, int] | None = None
    has_test_split: bool = field(default=True, init=False)

    def load(self, part: Part, shape: ImageShape) -> TensorItems:
        if self.name not in _SETS:
            raise UserError("data.source.name", self.name, f"one of {', '.join(_SETS)}")
        if self.variants and self.variant not in self.variants:
            raise UserError("data.variant", self.variant, ", ".join(self.variants))
        arguments, axes = _SETS[self.name]
        variant = {"split": self.variant} if self.variant else {}
        data_set = open_torchvision(self.name, self.root, self.download, **arguments[part], **variant)
        images = _TO_NCHW[axes](torch.as_tensor(data_set.data))
        labels = torch.as_tensor(np.asarray(data_set.targets if hasattr(data_set, "targets") else data_set.labels))
        labels, classes = _from_zero(labels.long(), tuple(getattr(data_set, "classes", "0123456789")))  # SVHN: digits
        return TensorItems(fit_images(images, shape, self.fit).contiguous(), labels, classes=classes)


def _from_zero(labels: Tensor, classes: tuple[str, ...]) -> tuple[Tensor, tuple[str, ...]]:
    """Returns labels that start at 0, and their names. EMNIST letters start at 1 and have an unused class 0."""
    if classes[:1] == ("N/A",):
        return labels - 1, classes[1:]
    return labels, classes
