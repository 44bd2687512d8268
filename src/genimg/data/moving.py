"""Still images that move in straight lines and bounce on a black canvas: sequences made from any image source.

After Moving MNIST (Srivastava, Mansimov & Salakhutdinov 2015), with three differences. A clip is a function of (seed,
split, epoch, index), so training clips are never repeated and evaluation clips are always the same. A split uses its
own images only. The images can come from any source.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from genimg.common.errors import UserError
from genimg.common.hashing import Use, uniform
from genimg.data.clip_file import read_clips
from genimg.data.items import ImageShape, Items, Part, Source, require_source


@dataclass(frozen=True)
class MovingStills:
    """The source of moving clips: one clip per epoch for each image of `of`.

    of: the source of the images.
    num_frames: frames of a clip.
    stills: number of images that move in a clip, 1 to 3, or [least, most]. With 1, a clip has the label of its image.
    still_scale: side of an image as a fraction of the shorter side of the canvas, in (0, 1].
    speed: least and greatest distance moved per frame, as fractions of the shorter side of the canvas.
    test_file: a file of clips (see `clip_file`), which are the test split; None = moving images of the test split.
    """

    of: Source
    num_frames: int = 16
    stills: int | tuple[int, int] = 1
    still_scale: float = 0.5
    speed: tuple[float, float] = (0.03, 0.1)
    test_file: str | None = None

    def __post_init__(self) -> None:
        require_source("of", self.of)

    @property
    def has_test_split(self) -> bool:
        return self.test_file is not None or self.of.has_test_split

    def load(self, part: Part, shape: ImageShape) -> Items:
        if self.test_file is not None:  # in training a file that cannot be read is an error at once
            clips = read_clips(self.test_file, self.num_frames, shape, "data.test_file")
            if part == "test":
                return clips
        fewest, most = (self.stills, self.stills) if isinstance(self.stills, int) else self.stills
        if not 1 <= fewest <= most <= 3:
            raise UserError("data.stills", self.stills, "1, 2, 3, or [least, most]")
        if not 0 < self.still_scale <= 1:
            raise UserError("data.still_scale", self.still_scale, "a fraction of the canvas: above 0, at most 1")
        if not 0 < self.speed[0] <= self.speed[1]:
            raise UserError("data.speed", self.speed, "[least, greatest] distance per frame, above 0")
        channels, height, width = shape
        side = max(1, round(self.still_scale * min(height, width)))
        slowest, fastest = (fraction * min(height, width) for fraction in self.speed)
        stills = self.of.load(part, (channels, side, side))
        return MovingClips(stills, (height, width), self.num_frames, (fewest, most), (slowest, fastest))


@dataclass(frozen=True)
class MovingClips:
    """Clips uint8 (T, C, H, W). Clip i moves image i, and with larger `counts` other images chosen at random.

    counts: least and greatest number of images in a clip.
    speed: least and greatest distance per frame, in pixels.
    """

    still_items: Items
    canvas: tuple[int, int]
    num_frames: int
    counts: tuple[int, int]
    speed: tuple[float, float]
    groups: Tensor | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.num_frames, self.still_items.shape[0], *self.canvas)

    @property
    def labels(self) -> Tensor | None:
        return self.still_items.labels if self.counts == (1, 1) else None

    @property
    def classes(self) -> tuple[str, ...]:
        return self.still_items.classes if self.counts == (1, 1) else ()

    @property
    def lazy(self) -> bool:
        return self.still_items.lazy

    def __len__(self) -> int:
        return len(self.still_items)

    def subset(self, indices: Tensor) -> MovingClips:
        return replace(self, still_items=self.still_items.subset(indices))

    def to(self, device: torch.device) -> MovingClips:
        return replace(self, still_items=self.still_items.to(device))

    def fetch(self, indices: Tensor, draw: int) -> Tensor:
        fewest, most = self.counts
        clips = self._render(indices, indices, draw, still=0)
        wanted = fewest + (uniform(Use.CLIP, draw, indices, 0, 0) * (most - fewest + 1)).long()
        for still in range(1, most):
            others = (uniform(Use.CLIP, draw, indices, still, 0) * len(self)).long()
            rendered = self._render(others, indices, draw, still)
            shown = (wanted > still).to(rendered, non_blocking=True).view(-1, 1, 1, 1, 1)
            clips = torch.maximum(clips, rendered * shown)
        return clips

    def _render(self, chosen: Tensor, indices: Tensor, draw: int, still: int) -> Tensor:
        """Renders one image in each clip: uint8 (B, T, C, H, W)."""
        images = self.still_items.fetch(chosen, draw)  # (B, C, h, w)
        room = [side - size for side, size in zip(self.canvas, images.shape[2:], strict=True)]
        top, left = (path.to(images.device, non_blocking=True) for path in self._paths(indices, draw, still, room))
        # a position of an image is a window on the image, padded with black by the room it has to move
        padded = F.pad(images, (room[1], room[1], room[0], room[0]))
        windows = padded.unfold(2, self.canvas[0], 1).unfold(3, self.canvas[1], 1)  # (B, C, room+1, room+1, H, W)
        clip = torch.arange(len(images), device=images.device).unsqueeze(1)
        return windows[clip, :, room[0] - top, room[1] - left]

    def _paths(self, indices: Tensor, draw: int, still: int, room: list[int]) -> tuple[Tensor, Tensor]:
        """Returns the top and left edge of the image in each frame, in pixels, int64 (B, T) each."""
        start_y, start_x, turn, pace = (uniform(Use.CLIP, draw, indices, still, n) for n in range(1, 5))
        speed = self.speed[0] + pace * (self.speed[1] - self.speed[0])
        angle = 2 * math.pi * turn
        time = torch.arange(self.num_frames, dtype=torch.float64)
        y = (start_y * room[0]).unsqueeze(1) + (speed * angle.sin()).unsqueeze(1) * time
        x = (start_x * room[1]).unsqueeze(1) + (speed * angle.cos()).unsqueeze(1) * time
        return reflect(y, room[0]), reflect(x, room[1])


def reflect(position: Tensor, room: int) -> Tensor:
    """Folds positions on a line into 0..room by reflection at both ends, and rounds them to pixels."""
    if room == 0:
        return torch.zeros_like(position, dtype=torch.int64)
    around = position.remainder(2 * room)
    return torch.minimum(around, 2 * room - around).round().long()
