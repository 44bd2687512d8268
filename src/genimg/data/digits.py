"""The 1,797 handwritten digits of scikit-learn, which need no download."""

from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F

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
        from sklearn.datasets import load_digits

        if not 0 <= self.margin <= 8:
            raise UserError("data.source.margin", self.margin, "0 to 8 pixels")
        data: Any = load_digits()
        sixteenths = torch.from_numpy(data.images)  # (1797, 8, 8), 0..16
        images = (sixteenths * 255 / 16).round().byte().unsqueeze(1)
        images = F.pad(images, [self.margin] * 4)
        labels = torch.from_numpy(data.target).long()
        return TensorItems(fit_images(images, shape, fit="pad"), labels, classes=tuple("0123456789"))
