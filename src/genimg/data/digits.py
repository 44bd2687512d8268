"""scikit-learn's 1,797 handwritten digits, which need no download."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F

from genimg.common.errors import UserError
from genimg.data.fit import fit_images
from genimg.data.items import ImageShape, Part, Stored


@dataclass(frozen=True)
class Digits:
    """8x8 images, 10 classes (Alpaydin & Kaynak 1998; a test split of its own does not ship with them).

    margin: black pixels set around the 8x8, whose strokes otherwise end at the border.
    """

    margin: int = 1
    own_test: bool = field(default=False, init=False)

    def load(self, part: Part, shape: ImageShape) -> Stored:
        from sklearn.datasets import load_digits

        if not 0 <= self.margin <= 8:
            raise UserError("data.source.margin", self.margin, "0 to 8 pixels around 8x8")
        data: Any = load_digits()
        sixteenths = torch.from_numpy(data.images)  # (1797, 8, 8), 0..16
        images = (sixteenths * 255 / 16).round().byte().unsqueeze(1)
        images = F.pad(images, [self.margin] * 4)
        labels = torch.from_numpy(data.target).long()
        return Stored(fit_images(images, shape, fit="pad"), labels, classes=tuple("0123456789"))
