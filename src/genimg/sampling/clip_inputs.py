"""Clips given by the user, of which a sequence model continues the first frames."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from genimg.common.errors import UserError
from genimg.data.decode import Decoder
from genimg.data.frames import read_first
from genimg.data.items import ImageShape
from genimg.data.listing import IMAGES, ClipListing, clip_file, list_clips
from genimg.data.reading import read_each, warn_about_failures
from genimg.sampling.inputs import BACKGROUND, Paths, as_list
from genimg.sampling.memory import check_kept


def read_clips(
    paths: Paths, shape: ImageShape, frames: int, key: str, skip_unreadable: bool = True, bytes_per_value: int = 2
) -> Tensor:
    """Reads the first `frames` frames of clips, uint8 (N, frames, C, H, W). Arguments and errors as for `read_images`.

    Args:
        paths: GIFs, animated WebPs and PNGs, videos, and folders. A folder of images is one clip; a folder of clips
            stands for all of them.
    """
    clips = [clip for path in as_list(paths) for clip in _clips_at(Path(path).expanduser(), key)]
    check_kept(key, len(clips) * frames, shape, "fewer clips", bytes_per_value)
    decoder = Decoder(shape, "crop", BACKGROUND)
    content = np.empty((len(clips), frames, *shape), np.uint8)

    def read(row: int) -> None:
        content[row] = read_first(clips[row], decoder, frames)

    failures = read_each([clip.path for clip in clips], read)
    named = {str(Path(one).expanduser()) for one in as_list(paths)}
    readable = [row for row, clip in enumerate(clips) if clip.path not in failures]
    for clip in clips:
        if clip.path in failures and (clip.path in named or not skip_unreadable or not readable):
            expected = f"a clip of at least {frames} frames, which this model continues"
            raise UserError(key, clip.path, expected, failures[clip.path].removeprefix(f"{clip.path}: "))
    warn_about_failures(failures, len(clips), "clips")
    return torch.from_numpy(content[readable])


def _clips_at(path: Path, key: str) -> list[ClipListing]:
    """The clips in a file or a folder."""
    expected = "a GIF, an animated WebP or PNG, a video, a folder of frames, or a folder of them"
    if path.is_dir():
        found = list_clips(path)[0]
    elif path.is_file():
        clip = clip_file(str(path))
        found = [] if clip is None else [clip]
    else:
        hint = "the path is neither a file nor a folder" if path.exists() else "there is no such file"
        raise UserError(key, path, expected, hint)
    if not found:
        still = path.suffix.lower() in IMAGES
        raise UserError(key, path, expected, "this model continues several frames, not one image" if still else None)
    return found
