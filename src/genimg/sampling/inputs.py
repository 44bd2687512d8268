"""Images that a user hands to a model: files of any kind, fitted to its shape."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from genimg.common.errors import UserError
from genimg.data.decode import Decoder
from genimg.data.items import ImageShape
from genimg.data.listing import IMAGES, own_images
from genimg.data.reading import read_each, warn_of

Paths = str | Path | Sequence[str | Path]

_WHITE = (255, 255, 255)  # behind what is transparent, as viewers show it


def find_images(paths: Paths, key: str) -> list[Path]:
    """The files that `paths` names: files as they are, and a folder's own images by name, no links out of it.

    Raises:
        UserError: if a path does not exist, or there is no image; `key` is what the user called it.
    """
    given = [paths] if isinstance(paths, str | Path) else paths
    found: list[Path] = []
    for path in (Path(one).expanduser() for one in given):
        if path.is_dir():
            found += map(Path, own_images(path))
        elif path.is_file():  # not a pipe, which would be waited for
            found.append(path)
        else:
            hint = "it is neither file nor folder" if path.exists() else "nothing lies there"
            raise UserError(key, path, "an image, a folder of images, or a list of them", hint)
    if not found:
        raise UserError(
            key,
            paths,
            "at least one image",
            hint=f"of a folder, its own files, no links out of it: {' '.join(sorted(IMAGES))}",
        )
    return found


def find_readable(paths: Paths, shape: ImageShape, key: str, leave_out: bool = True) -> list[Path]:
    """As `find_images`, without those of a folder that cannot be read, which a warning lists, if `leave_out`.

    Each is decoded once for that, so that what is wrong is known before anything is made of the others.

    Raises:
        UserError: also if one cannot be read that is not to be left out, or was named itself, or if none is left.
    """
    files = find_images(paths, key)
    decoder = Decoder(shape, "crop", _WHITE)

    def attempt(row: int) -> None:
        decoder.read(str(files[row]))

    failures = read_each([str(file) for file in files], attempt)
    named = {Path(one).expanduser() for one in ([paths] if isinstance(paths, str | Path) else paths)}
    for file in files:
        if str(file) in failures and (file in named or not leave_out):
            reason = failures[str(file)].removeprefix(f"{file}: ")
            raise UserError(key, file, "an image that can be read", hint=reason)
    kept = [file for file in files if str(file) not in failures]
    if not kept:
        raise UserError(key, paths, "at least one image that can be read", hint=next(iter(failures.values())))
    warn_of(failures, len(files), "images")
    return kept


def read_image(path: Path, shape: ImageShape, key: str) -> Tensor:
    """uint8 (C, H, W) from a file of any mode and size: upright, the centre cut out, resized antialiased.

    Raises:
        UserError: if the file cannot be read as an image.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            return torch.from_numpy(Decoder(shape, "crop", _WHITE).read(str(path)).copy())
    except Exception as error:  # Pillow's readers raise nearly anything on a damaged file
        reason = str(error).split("\n")[0] or type(error).__name__
        raise UserError(key, path, "an image that can be read", hint=reason) from error
