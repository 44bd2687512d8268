"""Checks that a small checkpoint file cannot ask for a large memory.

`torch.load(weights_only=True)` runs no code, but it unpacks compressed records, accepts a tensor of one number with the
shape of billions (stride 0), and calls functions that allocate. Checkpoints of this project need none of that.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genimg.checkpoints.pickled import check_pickle
from genimg.common.limits import LARGEST_INTEGER

LARGEST_PICKLE = 2**24  # bytes of the pickled structure; a model of 1,000 tensors has about 200,000
MOST_PARTS = 10**6  # dictionaries, lists and values, counted once for each reference
DEEPEST = 40  # nested containers
SHARED = 2  # limit of the tensors' total size, as a multiple of the file's: two names of one tensor count twice


def checked_archive(path: Path) -> io.BytesIO:
    """Returns the archive at `path` in memory, each part verified by its CRC-32, for torch to read.

    The archive is packed again from the verified parts, because torch's reader and Python's can find different parts in
    a crafted file.

    Raises:
        ValueError: if `torch.save` would not write such a file, or it has changed since.
        OSError: if there is no file.
    """
    packed = io.BytesIO()
    try:
        with zipfile.ZipFile(path) as archive, zipfile.ZipFile(packed, "w") as copy:
            parts = archive.infolist()
            stored = all(part.compress_type == zipfile.ZIP_STORED for part in parts)
            if not stored or sum(part.file_size for part in parts) > path.stat().st_size:
                raise ValueError("its unpacked size exceeds its size")
            if len({part.filename.lower() for part in parts}) < len(parts):  # torch ignores case
                raise ValueError("two of its parts have the same name")
            pickles = [part for part in parts if part.filename.endswith(".pkl")]
            if len(pickles) != 1 or pickles[0].file_size > LARGEST_PICKLE:
                raise ValueError("it has no data.pkl, or a too large one")
            check_pickle(archive.read(pickles[0]))
            for part in parts:
                copy.writestr(part.filename, archive.read(part))
    except zipfile.BadZipFile as error:
        raise ValueError(f"it is damaged or incomplete: {error}") from error
    packed.seek(0)
    return packed


def check_content(content: Any, size: int) -> None:
    """Raises ValueError unless content that torch read from `size` bytes is plain types and tensors of that size."""
    waiting, parts, tensor_bytes = [(content, 0)], 0, 0
    while waiting:
        part, depth = waiting.pop()
        parts += 1
        if parts > MOST_PARTS or depth > DEEPEST:
            raise ValueError(f"it has more than {MOST_PARTS:,} parts, or more than {DEEPEST} levels")
        if isinstance(part, Tensor):
            tensor_bytes += part.numel() * part.element_size()
            if part.device.type != "cpu" or part.layout != torch.strided or tensor_bytes > SHARED * size:
                raise ValueError(f"its tensors need more than the {size:,} bytes of the file")
        elif isinstance(part, dict):
            waiting += [(one, depth + 1) for one in (*part.keys(), *part.values())]
        elif isinstance(part, list | tuple):
            waiting += [(one, depth + 1) for one in part]
        elif isinstance(part, int) and abs(part) > LARGEST_INTEGER:
            raise ValueError("it holds an integer of more than 64 bits")
        elif not isinstance(part, str | int | float | bool | torch.dtype | None):
            raise ValueError(f"it holds a {type(part).__name__}; only plain types are allowed")
