"""A user's own folder of clips: GIFs, animated WebPs, folders of frames, videos."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from genimg.common.errors import UserError
from genimg.data.decode import Background, Decoder, as_rgb
from genimg.data.fit import FITS, Fit
from genimg.data.frames import read_clip
from genimg.data.items import ImageShape, Part
from genimg.data.listing import ClipListing, list_clips, require_clips
from genimg.data.reading import read_each, warn_of, warn_of_links

FEWEST = 3  # clips: one each for training, validation and test
IN_MEMORY_BYTES = 4 * 2**30  # all frames together, as uint8


@dataclass(frozen=True)
class FrameFolder:
    """Windows of `num_frames` frames, one from each frame on that has enough after it.

    frame_stride: every how many-th frame of a clip is taken; 1 = all.
    fit, background, follow_links: as for ImageFolder.
    """

    root: str | None
    num_frames: int = 16
    frame_stride: int = 1
    fit: Fit = "crop"
    background: Background = "black"
    follow_links: bool = False
    own_test: bool = field(default=False, init=False)

    def load(self, part: Part, shape: ImageShape) -> Windows:
        if self.fit not in FITS:
            raise UserError("data.fit", self.fit, ", ".join(FITS))
        if self.frame_stride < 1:
            raise UserError("data.frame_stride", self.frame_stride, "1 or more")
        require_clips(self.root, self.follow_links)
        listed, skipped = list_clips(str(self.root), self.follow_links)
        warn_of_links(skipped, str(self.root))
        clips = self._read(listed, Decoder(shape, self.fit, as_rgb(self.background)))
        if len(clips) < FEWEST:
            raise UserError(
                "data.root",
                f"{len(clips)} clips of {self.num_frames} frames or more",
                f"at least {FEWEST}: one each for training, validation and test",
                "a smaller data.num_frames or data.frame_stride keeps shorter clips",
            )
        return join(clips, self.num_frames)

    def _read(self, listed: Sequence[ClipListing], decoder: Decoder) -> list[Tensor]:
        """uint8 (F, C, H, W) of every clip that is long enough; a warning lists the others."""
        clips: list[Tensor | None] = [None] * len(listed)
        room = IN_MEMORY_BYTES
        most = max(1, room // math.prod(decoder.shape))

        def read(row: int) -> None:
            nonlocal room
            clip = torch.from_numpy(read_clip(listed[row], decoder, self.frame_stride, most))
            if len(clip) < self.num_frames:
                raise ValueError(f"{len(clip)} frames, fewer than data.num_frames={self.num_frames}")
            clips[row], room = clip, room - clip.numel()
            if room < 0:
                raise UserError(
                    "data.root",
                    str(self.root),
                    f"clips that fit into {IN_MEMORY_BYTES >> 30} GiB as frames of {decoder.shape}",
                    "take fewer clips, a smaller data.image_size or a larger data.frame_stride",
                )

        failures = read_each([clip.path for clip in listed], read)
        warn_of(failures, len(listed), "clips")
        return [clip for clip in clips if clip is not None]


@dataclass(frozen=True)
class Windows:
    """Windows of T frames cut from clips.

    frames: uint8 (F, C, H, W), those of all clips one after another, never copied.
    starts: int64 (N,), the first frame of each window. groups: int64 (N,), the clip that it is cut from.
    """

    frames: Tensor
    starts: Tensor
    num_frames: int
    groups: Tensor
    labels: Tensor | None = None
    classes: tuple[str, ...] = ()
    lazy: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.num_frames, *self.frames.shape[1:])

    def __len__(self) -> int:
        return len(self.starts)

    def fetch(self, indices: Tensor, draw: int) -> Tensor:
        rows = self.starts[indices].unsqueeze(1) + torch.arange(self.num_frames)  # (B, T)
        return self.frames[rows.to(self.frames.device)]

    def subset(self, indices: Tensor) -> Windows:
        return replace(self, starts=self.starts[indices], groups=self.groups[indices])

    def to(self, device: torch.device) -> Windows:
        return replace(self, frames=self.frames.to(device))


def join(clips: Sequence[Tensor], num_frames: int) -> Windows:
    """Every window of `num_frames` frames of clips uint8 (F_i, C, H, W), F_i >= num_frames."""
    lengths = torch.tensor([len(clip) for clip in clips])
    firsts = lengths.cumsum(0) - lengths
    counts = lengths - num_frames + 1
    groups = torch.arange(len(clips)).repeat_interleave(counts)
    starts = torch.cat([first + torch.arange(count) for first, count in zip(firsts, counts.tolist(), strict=True)])
    return Windows(torch.cat(list(clips)), starts, num_frames, groups)
