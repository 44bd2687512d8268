"""The 1,797 handwritten digits of scikit-learn, which need no download."""

from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from genimg.common.errors import UserError
from genimg.data.items import ImageShape, Part, TensorItems
from genimg.data.resize import fit_images


@dataclass(frozen=True)
class Digits:
    """Images of 8x8, 10 classes (Alpaydin & Kaynak 1998; scikit-learn does not include their test split).

    margin: black pixels added around the 8x8, 0 to 8: strokes reach the border of the original images.
    """

    margin: int = 1
    has_test_split: bool = field(default=False, init=False)

    def load(self, part: Part, shape: ImageShape) -> TensorItems:
        if not 0 <= self.margin <= 8:
            raise UserError("data.source.margin", self.margin, "0 to 8 pixels")
        sixteenths, labels = read_digits()
        images = (sixteenths * 255 / 16).round().byte().unsqueeze(1)
        images = F.pad(images, [self.margin] * 4)
        return TensorItems(fit_images(images, shape, fit="pad"), labels, classes=tuple("0123456789"))


def read_digits() -> tuple[Tensor, Tensor]:
    """The images (1797, 8, 8) of `sklearn.datasets.load_digits`, 0 to 16, and their labels, int64 (1797,).

    Read from its file, because importing scikit-learn takes as long as all else before the first step.
    """
    package = find_spec("sklearn")
    file = Path(package.origin or "").parent / "datasets" / "data" / "digits.csv.gz" if package else None
    if file is None or not file.is_file():
        from sklearn.datasets import load_digits

        data: Any = load_digits()
        return torch.from_numpy(data.images), torch.from_numpy(data.target).long()
    rows = torch.from_numpy(np.loadtxt(file, delimiter=","))
    return rows[:, :-1].view(-1, 8, 8), rows[:, -1].long()
