"""A user's folder of clips: GIFs, animated WebPs and PNGs, folders of frames, sheets of frames, videos."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from genimg.common.errors import UserError
from genimg.data.actions import FILE, Actions, check_settings, read_actions
from genimg.data.decode import Background, Decoder, as_rgb
from genimg.data.frames import read_clip
from genimg.data.items import ImageShape, Part
from genimg.data.listing import ClipListing, list_clips, require_clips
from genimg.data.reading import read_each, warn_about_failures, warn_about_skipped
from genimg.data.resize import FITS, Fit

FEWEST = 3  # clips: one each for training, validation and test
ENOUGH_FILES = 10  # of which a tenth is set aside for validation, and another for the test


def looped(clip: Tensor, length: int) -> Tensor:
    """A clip (F, C, H, W) that repeats from its first frame, long enough for a window of `length` from each frame."""
    return clip[torch.arange(length + len(clip) - 1) % len(clip)]


def held(clip: Tensor, length: int) -> Tensor:
    """A clip (F, C, H, W) whose last frame is repeated up to `length` frames."""
    return clip[torch.arange(length).clamp_max(len(clip) - 1)]


#: What becomes of a clip of fewer frames than a window has, by the name that `data.short` takes.
SHORT: dict[str, Callable[[Tensor, int], Tensor] | None] = {"loop": looped, "hold": held, "skip": None}


#: Which rows of a sheet of that many are one clip each, by the name that `data.sheet_clips` takes.
SHEET_CLIPS: dict[str, Callable[[int], list[range]]] = {
    "rows": lambda rows: [range(row, row + 1) for row in range(rows)],
    "all": lambda rows: [range(rows)],
}


def cut(listed: Sequence[ClipListing], columns: int, rows: int, clips: str) -> list[ClipListing]:
    """Replaces folders of frames by the clips of their images, which are sheets of cells."""
    found: list[ClipListing] = []
    for clip in listed:
        for path in clip.frames:
            found += [ClipListing(path, "sheet", cells=(columns, rows, one)) for one in SHEET_CLIPS[clips](rows)]
        found += [] if clip.frames else [clip]
    return found


def groups_of(paths: Sequence[str]) -> list[int]:
    """The group of each clip: its file, because rows of a sheet show the same figure; of few files the clip itself."""
    files = {path: number for number, path in enumerate(dict.fromkeys(paths))}
    return [files[path] for path in paths] if len(files) >= ENOUGH_FILES else list(range(len(paths)))


@dataclass(frozen=True)
class FrameFolder:
    """All windows of `num_frames` consecutive frames of the clips below `root`.

    frame_stride: every how many-th frame of a clip is used; 1 = all frames.
    short: a name of `SHORT`: what becomes of a clip of fewer frames. A single frame is no clip.
    sheet: columns and rows of cells; every still image is then a sheet of frames instead of a frame.
    sheet_clips: a name of `SHEET_CLIPS`: which cells of a sheet are one clip.
    root, fit, background, follow_links: as for ImageFolder.
    actions: whether to read the actions in the folder. A short clip is then skipped or an error, because no action
        leads from its last frame on.
    in_memory_bytes: limit on the size of all frames together, as uint8.
    """

    root: str | None
    num_frames: int = 16
    frame_stride: int = 1
    short: str = "loop"
    sheet: Sequence[int] | None = None
    sheet_clips: str = "rows"
    fit: Fit = "crop"
    background: Background = "black"
    follow_links: bool = False
    actions: bool = False
    in_memory_bytes: int = 4 * 2**30
    has_test_split: bool = field(default=False, init=False)

    def load(self, part: Part, shape: ImageShape) -> ClipWindows:
        if self.fit not in FITS:
            raise UserError("data.fit", self.fit, ", ".join(FITS))
        if self.frame_stride < 1:
            raise UserError("data.frame_stride", self.frame_stride, "1 or more")
        for key, name, known in (("short", self.short, SHORT), ("sheet_clips", self.sheet_clips, SHEET_CLIPS)):
            if name not in known:
                raise UserError(f"data.{key}", name, ", ".join(known))
        require_clips(self.root, self.follow_links)
        listed, skipped = list_clips(str(self.root), self.follow_links)
        if self.actions:  # its file is read
            skipped.others[:] = [path for path in skipped.others if path != os.path.join(str(self.root), FILE)]
        warn_about_skipped(skipped, str(self.root))
        if self.sheet is not None:
            columns, rows = self.sheet
            listed = cut(listed, columns, rows, self.sheet_clips)
            if not any(clip.kind == "sheet" for clip in listed):
                raise UserError("data.sheet", list(self.sheet), "null, because there are no still images in data.root")
        paths = [os.path.relpath(clip.path, str(self.root)) for clip in listed]
        actions = self._read_actions(paths)
        clips = self._read(listed, Decoder(shape, self.fit, as_rgb(self.background)))
        if len(clips) < FEWEST:
            noun = "clip" if len(clips) == 1 else "clips"
            got = f"{len(clips)} {noun} of {self._fewest_frames} frames or more"
            folders = all(clip.kind == "frames" for clip in listed)
            hint = "data.short=loop uses short clips too" if SHORT[self.short] is None else None
            of_folders = "a folder of frames is one clip: one folder for each; data.sheet=[COLUMNS,ROWS] reads sheets"
            hint = of_folders if folders else hint
            hint = f"data.sheet={list(self.sheet)} is the grid of the sheets" if self.sheet is not None else hint
            raise UserError("data.root", got, f"at least {FEWEST}: one each for training, validation and test", hint)
        groups = groups_of([listed[row].path for row in clips])
        windows = join_clips(list(clips.values()), self.num_frames, groups)
        if actions is None:
            return windows
        taken = [number for row, clip in clips.items() for number in [*actions.sequence(paths[row], len(clip)), -1]]
        return replace(windows, actions=torch.tensor(taken), action_names=actions.names)

    def _read_actions(self, paths: Sequence[str]) -> Actions | None:
        """The actions of the clips, by their paths in the folder; None if they are not wanted."""
        if not self.actions:
            return None
        check_settings(self.frame_stride, self.sheet)
        actions = read_actions(str(self.root))
        actions.check_clips(paths)
        return actions

    @property
    def _fewest_frames(self) -> int:
        """The frames of the shortest clip that is used: one that moves, or one that fills a window."""
        return self.num_frames if SHORT[self.short] is None else 2

    def _read(self, listed: Sequence[ClipListing], decoder: Decoder) -> dict[int, Tensor]:
        """Returns uint8 (F, C, H, W) of each clip by its number, lengthened if short; a warning lists those skipped.

        A row of a sheet without a visible cell is no clip.
        """
        clips: dict[int, Tensor] = {}
        free_bytes = self.in_memory_bytes
        max_frames = max(1, free_bytes // math.prod(decoder.shape))

        def read(row: int) -> None:
            nonlocal free_bytes
            clip = torch.from_numpy(read_clip(listed[row], decoder, self.frame_stride, max_frames))
            if not len(clip):
                return
            if len(clip) < self._fewest_frames:
                noun = "frame" if len(clip) == 1 else "frames"
                raise ValueError(f"{len(clip)} {noun}, fewer than {self._fewest_frames}")
            lengthen = SHORT[self.short]
            if lengthen is not None and len(clip) < self.num_frames:
                if self.actions:
                    expected = f"skip, because no action leads on from the {len(clip)} frames of {listed[row].path}"
                    raise UserError(
                        "data.short", self.short, expected, f"data.short=skip or data.num_frames={len(clip)}"
                    )
                clip = lengthen(clip, self.num_frames)
            clips[row], free_bytes = clip, free_bytes - clip.numel()
            if free_bytes < 0:
                expected = f"clips that fit into {self.in_memory_bytes / 2**30:g} GiB as frames of {decoder.shape}"
                hint = "use fewer clips, a smaller data.image_size or a larger data.frame_stride"
                raise UserError("data.root", str(self.root), expected, hint)

        failures = read_each([clip.path for clip in listed], read)
        warn_about_failures(failures, len(listed), "clips")
        return dict(sorted(clips.items()))


@dataclass(frozen=True)
class ClipWindows:
    """Windows of T consecutive frames of clips.

    frames: uint8 (F, C, H, W), the frames of all clips in order. A subset shares them.
    starts: int64 (N,), the first frame of each window.
    groups: int64 (N,), of each window: the clip, or the sheet.
    actions: int64 (F,), the action in each frame; -1 in the last frame of a clip. None without actions.
    action_names: names of the actions 0, 1, ...
    """

    frames: Tensor
    starts: Tensor
    num_frames: int
    groups: Tensor
    labels: Tensor | None = None
    classes: tuple[str, ...] = ()
    lazy: bool = False
    actions: Tensor | None = None
    action_names: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.num_frames, *self.frames.shape[1:])

    def __len__(self) -> int:
        return len(self.starts)

    def fetch(self, indices: Tensor, draw: int) -> Tensor:
        rows = self.starts[indices].unsqueeze(1) + torch.arange(self.num_frames)  # (B, T)
        return self.frames[rows.to(self.frames.device)]

    def actions_of(self, indices: Tensor) -> Tensor:
        assert self.actions is not None
        return self.actions[self.starts[indices].unsqueeze(1) + torch.arange(self.num_frames - 1)]

    def subset(self, indices: Tensor) -> ClipWindows:
        return replace(self, starts=self.starts[indices], groups=self.groups[indices])

    def to(self, device: torch.device) -> ClipWindows:
        return replace(self, frames=self.frames.to(device))


def join_clips(clips: Sequence[Tensor], num_frames: int, groups: Sequence[int]) -> ClipWindows:
    """Returns all windows of `num_frames` frames of clips uint8 (F_i, C, H, W), where F_i >= num_frames.

    groups: of each clip; windows of one group belong to one split.
    """
    lengths = torch.tensor([len(clip) for clip in clips])
    firsts = lengths.cumsum(0) - lengths
    counts = lengths - num_frames + 1
    starts = torch.cat([first + torch.arange(count) for first, count in zip(firsts, counts.tolist(), strict=True)])
    return ClipWindows(torch.cat(list(clips)), starts, num_frames, torch.tensor(groups).repeat_interleave(counts))
