"""What the convolutional networks share: sizes by ceil-halving, channels by doubling, and how weights begin.

Every size from 8 to 256 works without cropping, because a stage goes from n to ceil(n / 2) pixels on the way down
and back to exactly the size it came from on the way up.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from genimg.common.limits import check_sides

ImageSize = int | Sequence[int]


def as_pair(image_size: ImageSize) -> tuple[int, int]:
    """`(height, width)` of one number or of two. ValueError outside of `limits.SIDES`."""
    height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
    return check_sides(height, width)


def pyramid(image_size: ImageSize, smallest: int) -> list[tuple[int, int]]:
    """Sizes from the image's own down to the first whose shorter side is at most `smallest`.

    >>> pyramid(50, smallest=4)
    [(50, 50), (25, 25), (13, 13), (7, 7), (4, 4)]
    """
    if smallest < 1:
        raise ValueError(f"smallest must be at least 1 pixel, got {smallest}")
    sizes = [as_pair(image_size)]
    while min(sizes[-1]) > smallest:
        height, width = sizes[-1]
        sizes.append(((height + 1) // 2, (width + 1) // 2))
    return sizes


def stage_widths(stages: int, width: int, max_width: int) -> list[int]:
    """Channels of each stage from the finest on: doubled at every halving, up to `max_width`."""
    return [min(width * 2**stage, max(width, max_width)) for stage in range(stages)]


def init_convolutions(module: nn.Module) -> None:
    """He initialisation for leaky ReLU 0.2 (He et al. 2015, eq. 14), biases at zero."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, a=0.2)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def class_vectors(embedding: nn.Embedding, labels: Tensor | None) -> Tensor:
    """The embedding's rows (B, E) of `labels`, int64 (B,).

    Raises:
        ValueError: if there are no labels.
    """
    if labels is None:
        raise ValueError("this network was built with classes: pass labels of shape (B,)")
    return embedding(labels)
