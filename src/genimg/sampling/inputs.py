"""Names of classes and image files given by the user; images are fitted to the shape of the model."""

import difflib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from genimg.common.errors import UserError
from genimg.data.decode import Decoder
from genimg.data.images import decode_all
from genimg.data.items import ImageShape
from genimg.data.listing import IMAGES, images_in
from genimg.data.reading import warn_about_failures
from genimg.sampling.memory import check_kept

ClassName = str | int
Paths = str | Path | Sequence[str | Path]
Seeds = Sequence[int | str]

_LISTED = 20  # classes listed in an error message
BACKGROUND = (255, 255, 255)  # behind transparent pixels, as image viewers show them


def class_numbers(classes: ClassName | Sequence[ClassName] | None, names: Sequence[str]) -> list[int]:
    """Returns the labels of `classes`, as `numbers_of`; None stands for all classes."""
    if classes is None:
        return list(range(len(names)))
    if not (numbers := numbers_of(classes, names, "classes")):
        raise UserError("classes", "[]", "at least one class, or null for all classes")
    return numbers


def numbers_of(given: ClassName | Sequence[ClassName], names: Sequence[str], key: str) -> list[int]:
    """Returns the position in `names` of each of `given`, a name or a number.

    Where one of the names is a number, as of folders 1, 2 and 10, numbers are names.

    Args:
        key: the option, for messages.
    """
    wanted = [str(one) for one in ([given] if isinstance(given, str | int) else given)]
    folded = [name.casefold() for name in names]
    numbers = []
    numbered = any(name.isdecimal() for name in names)
    for one in wanted:
        if one in names:  # an exact match first: names may differ in case only
            numbers.append(names.index(one))
        elif one.casefold() in folded:
            numbers.append(folded.index(one.casefold()))
        elif not numbered and one.isdecimal() and int(one) < len(names):
            numbers.append(int(one))
        else:
            near = difflib.get_close_matches(one.casefold(), folded, n=1)
            known = ", ".join(names[:_LISTED]) + (" ..." if len(names) > _LISTED else "")
            hint = f"did you mean {names[folded.index(near[0])]}?" if near else None
            expected = f"one of {known}" + ("" if numbered else f", or 0 to {len(names) - 1}")
            raise UserError(key, one, expected, hint)
    return numbers


def read_images(
    paths: Paths, shape: ImageShape, key: str, skip_unreadable: bool = True, bytes_per_value: int = 2
) -> tuple[list[Path], Tensor]:
    """Reads image files of any mode and size: upright, cropped to the centre, resized with antialiasing.

    Args:
        paths: files and folders, as for `find_images`.
        shape: (C, H, W) of the result.
        key: the user's name for `paths`, for messages.
        skip_unreadable: whether unreadable files of a folder are skipped with a warning. A file given by name is
            never skipped.
        bytes_per_value: what is kept of each value; 2 here, more if the caller makes copies.

    Returns:
        The files, and their images as uint8 (N, C, H, W).

    Raises:
        UserError: if the images exceed the free memory, a file that must not be skipped cannot be read, or no file is
            left.
    """
    files = find_images(paths, key)
    check_kept(key, len(files), shape, "fewer images", bytes_per_value)
    images = np.empty((len(files), *shape), np.uint8)
    failures = decode_all([str(file) for file in files], Decoder(shape, "crop", BACKGROUND), images)
    named = {Path(one).expanduser() for one in as_list(paths)}
    for file in files:
        if str(file) in failures and (file in named or not skip_unreadable):
            reason = failures[str(file)].removeprefix(f"{file}: ")
            raise UserError(key, file, "an image that can be read", hint=reason)
    readable = [row for row, file in enumerate(files) if str(file) not in failures]
    if not readable:
        raise UserError(key, paths, "at least one image that can be read", hint=next(iter(failures.values())))
    warn_about_failures(failures, len(files), "images")
    return [files[row] for row in readable], torch.from_numpy(images[readable])


def find_images(paths: Paths, key: str) -> list[Path]:
    """Returns the files named by `paths`; a folder stands for the images directly in it, sorted by name.

    Links that lead out of a folder are skipped.

    Raises:
        UserError: if a path does not exist, or there is no image. `key` is the user's name for `paths`.
    """
    found: list[Path] = []
    for path in (Path(one).expanduser() for one in as_list(paths)):
        if path.is_dir():
            found += map(Path, images_in(path))
        elif path.is_file():  # not a pipe: reading it would block
            found.append(path)
        else:
            hint = "the path is neither a file nor a folder" if path.exists() else "there is no such file"
            raise UserError(key, path, "an image, a folder of images, or a list of them", hint)
    if not found:
        hint = f"only files directly in the folder are read, and no links out of it: {' '.join(sorted(IMAGES))}"
        raise UserError(key, paths, "at least one image", hint)
    return found


def as_list(paths: Paths) -> Sequence[str | Path]:
    """The paths as a list."""
    return [paths] if isinstance(paths, str | Path) else paths
