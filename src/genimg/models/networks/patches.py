"""Frames as maps of patches, which recurrent networks over maps read and draw."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor


class Patches:
    """Squares of pixels as the channels of one place, in the order of `pixel_unshuffle`: (C, row, column).

    Args:
        image_size: height and width of a frame, or one number for both. Sizes that `patch` does not divide are extended
            by their last rows and columns.
        channels: of a frame.
        patch: side of a patch in pixels.
    """

    def __init__(self, image_size: int | Sequence[int], channels: int, patch: int) -> None:
        height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
        self.patch, self.sides = patch, (int(height), int(width))
        self.below, self.right = -int(height) % patch, -int(width) % patch
        self.channels = channels * patch**2

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the maps."""
        return (self.sides[0] + self.below) // self.patch, (self.sides[1] + self.right) // self.patch

    def cut(self, frames: Tensor) -> Tensor:
        """Frames (N, C, H, W) -> maps (N, C * patch^2, h, w)."""
        extended = F.pad(frames, (0, self.right, 0, self.below), mode="replicate")
        return F.pixel_unshuffle(extended, self.patch)

    def join(self, maps: Tensor) -> Tensor:
        """The inverse of `cut`."""
        height, width = self.sides
        return F.pixel_shuffle(maps, self.patch)[..., :height, :width]
