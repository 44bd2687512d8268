"""Fashion-MNIST from gzipped IDX files, as distributed by its authors and by Debian."""

import gzip
import math
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from genimg.common.errors import UserError
from genimg.data.items import ImageShape, Part, TensorItems
from genimg.data.resize import fit_images
from genimg.data.torchvision_sets import TorchvisionStills

CLASSES = ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")

_GZIP = b"\x1f\x8b"
_LARGEST = 2**31  # decompressed bytes: three times those of the largest data set
_UBYTE = b"\x00\x00\x08"  # two zeros and the type code of unsigned bytes; the number of axes follows


def read_idx(path: Path, axes: int) -> Tensor:
    """Returns the uint8 tensor of an IDX file with `axes` axes, gzipped or not (format: MNIST page of Y. LeCun).

    Raises UserError for a file that is damaged or has other axes. Decompresses at most the size given in the header,
    which is at most `_LARGEST`.
    """
    with path.open("rb") as raw:
        zipped = raw.read(2) == _GZIP
    try:
        with gzip.open(path) if zipped else path.open("rb") as file:
            head = file.read(4)
            found = head[3] if head[:3] == _UBYTE and len(head) == 4 else 0
            if found not in (0, axes):
                expected = f"an IDX file of {axes} axes: images have 3 and labels 1"
                raise UserError("data.root", f"{path} with {found} axes", expected)
            shape = [int(size) for size in np.frombuffer(file.read(4 * found), dtype=">u4")]
            count = math.prod(shape) if found and len(shape) == found else -1
            content = file.read(count + 1) if 0 <= count <= _LARGEST else b""
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise UserError("data.root", str(path), "a complete gzip file", f"decompression failed: {error}") from error
    if len(content) != count:
        raise UserError("data.root", str(path), "an IDX file of unsigned bytes", "replace the file: it is damaged")
    return torch.from_numpy(np.frombuffer(content, dtype=np.uint8).reshape(shape).copy())


@dataclass(frozen=True)
class FashionMNIST:
    """70,000 images of garments at 28x28, 10 classes (Xiao, Rasul & Vollgraf 2017).

    root: folder of the four `*-ubyte.gz` files, or of torchvision's download. None = `system_folder`
        if it exists, otherwise torchvision's download.
    download: as for TorchvisionStills.
    system_folder: folder of an installed Debian package.
    """

    root: str | None = None
    download: bool = False
    system_folder: str = "/usr/share/datasets/fashion-mnist"
    has_test_split: bool = field(default=True, init=False)

    def load(self, part: Part, shape: ImageShape) -> TensorItems:
        folder, prefix = Path(self.root or self.system_folder), {"train": "train", "test": "t10k"}[part]
        image_file, label_file = folder / f"{prefix}-images-idx3-ubyte.gz", folder / f"{prefix}-labels-idx1-ubyte.gz"
        if not (image_file.is_file() and label_file.is_file()):
            return TorchvisionStills("FashionMNIST", self.root, self.download).load(part, shape)
        images, labels = read_idx(image_file, 3), read_idx(label_file, 1).long()
        if not images.numel():
            raise UserError("data.root", str(image_file), "at least one image of at least one pixel")
        if len(labels) != len(images):
            raise UserError("data.root", f"{len(labels)} labels in {label_file}", f"{len(images)}, one for each image")
        if int(labels.max()) >= len(CLASSES):
            raise UserError("data.root", f"label {int(labels.max())} in {label_file}", f"0 to {len(CLASSES) - 1}")
        return TensorItems(fit_images(images.unsqueeze(1), shape, fit="pad"), labels, classes=CLASSES)
