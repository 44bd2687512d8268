"""Fashion-MNIST from gzipped IDX files, as Debian's package and the data set's authors ship them."""

from __future__ import annotations

import gzip
import math
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from genimg.common.errors import UserError
from genimg.data.fit import fit_images
from genimg.data.items import ImageShape, Part, Stored
from genimg.data.torchvision_sets import TorchvisionStills

DEBIAN_FOLDER = "/usr/share/datasets/fashion-mnist"
CLASSES = (
    "T-shirt",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)

_GZIP = b"\x1f\x8b"
_LARGEST = 2**31  # bytes unpacked: three times those of the largest set
_UBYTE = b"\x00\x00\x08"  # two zeros and the type code of unsigned bytes; the number of axes follows


def read_idx(path: Path) -> Tensor:
    """uint8 tensor of an IDX file, gzipped or not (the format is described on the MNIST page of Y. LeCun).

    No more is unpacked than its header tells of, and that is at most `_LARGEST`.
    """
    with path.open("rb") as raw:
        zipped = raw.read(2) == _GZIP
    try:
        with gzip.open(path) if zipped else path.open("rb") as file:
            head = file.read(4)
            axes = head[3] if head[:3] == _UBYTE and len(head) == 4 else 0
            shape = [int(size) for size in np.frombuffer(file.read(4 * axes), dtype=">u4")]
            count = math.prod(shape) if axes and len(shape) == axes else -1
            content = file.read(count + 1) if 0 <= count <= _LARGEST else b""
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise UserError("data.root", str(path), "a whole gzip file", f"it does not unpack: {error}") from error
    if len(content) != count:
        raise UserError("data.root", str(path), "an IDX file of unsigned bytes", "replace the file: it is damaged")
    return torch.from_numpy(np.frombuffer(content, dtype=np.uint8).reshape(shape).copy())


@dataclass(frozen=True)
class FashionMNIST:
    """70,000 garments at 28x28, 10 classes (Xiao, Rasul & Vollgraf 2017).

    root: folder of the four `*-ubyte.gz` files, or where torchvision downloads them to. None: Debian's folder
    where it is installed, else torchvision's download.
    download: as for TorchvisionStills.
    """

    root: str | None = None
    download: bool = False
    own_test: bool = field(default=True, init=False)

    def load(self, part: Part, shape: ImageShape) -> Stored:
        folder, prefix = Path(self.root or DEBIAN_FOLDER), {"train": "train", "test": "t10k"}[part]
        image_file, label_file = folder / f"{prefix}-images-idx3-ubyte.gz", folder / f"{prefix}-labels-idx1-ubyte.gz"
        if not (image_file.is_file() and label_file.is_file()):
            return TorchvisionStills("FashionMNIST", self.root, self.download).load(part, shape)
        images = fit_images(read_idx(image_file).unsqueeze(1), shape, fit="pad")
        return Stored(images, read_idx(label_file).long(), classes=CLASSES)
