"""The arguments that all networks of a model share, as one value.

Every image size from 8 to 256 pixels works without cropping: a stage goes from n to ceil(n / 2) pixels on the way down,
and back to exactly the size it came from on the way up.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from genimg.common.limits import MOST_CHANNELS, check_sides

ImageSize = int | Sequence[int]


@dataclass(frozen=True)
class NetworkShape:
    """The image that a network reads or draws, and the size of the network.

    Args:
        image_size: side of a square image, or (height, width), 8 to 256 pixels each.
        channels: channels of the image.
        width: channels at full resolution; doubled at every halving of the resolution.
        max_width: maximum number of channels of a stage, but not less than `width`.
        hidden: width of the fully connected layers.
        smallest: maximum length in pixels of the shorter side of the coarsest map.
        num_classes: 0 for an unconditional network.

    Raises:
        ValueError: for an image size out of range, or another size out of range.
    """

    image_size: ImageSize
    channels: int
    width: int
    max_width: int
    hidden: int
    smallest: int
    num_classes: int = 0

    def __post_init__(self) -> None:
        for name in ("channels", "width", "max_width", "hidden", "smallest"):
            if not 1 <= getattr(self, name) <= MOST_CHANNELS:
                raise ValueError(f"{name} must be from 1 to {MOST_CHANNELS:,}, got {getattr(self, name)}")
        check_sides(*self.height_width)

    @property
    def height_width(self) -> tuple[int, int]:
        """`(height, width)` of the image."""
        height, width = (self.image_size, self.image_size) if isinstance(self.image_size, int) else self.image_size
        return int(height), int(width)

    def resolutions(self, smallest: int | None = None) -> list[tuple[int, int]]:
        """Map sizes from the image's own to the first whose shorter side is at most `smallest`.

        >>> NetworkShape(50, channels=3, width=16, max_width=64, hidden=32, smallest=4).resolutions()
        [(50, 50), (25, 25), (13, 13), (7, 7), (4, 4)]
        """
        sizes = [self.height_width]
        while min(sizes[-1]) > (smallest or self.smallest):
            height, width = sizes[-1]
            sizes.append(((height + 1) // 2, (width + 1) // 2))
        return sizes

    def widths(self, stages: int) -> list[int]:
        """Channels of each of `stages` stages, finest first."""
        return [min(self.width * 2**stage, max(self.width, self.max_width)) for stage in range(stages)]
