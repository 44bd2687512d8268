"""Cache of intermediate results of an evaluation that take minutes to compute: plain tensors in files."""

import hashlib
import json
import logging
from pathlib import Path
from typing import Any

import torch

from genimg.common.files import atomic_write

log = logging.getLogger(__name__)


def cache_file(folder: Path, name: str, *key: object) -> Path:
    """The file for `name` and `key`: everything that the content depends on, as JSON types."""
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
    return folder / f"{name}-{digest[:24]}.pt"


def read_cache(path: Path | None) -> dict[str, Any] | None:
    """The content that `write_cache` wrote, or None if the file is missing or damaged."""
    try:
        content = None if path is None else torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # torch raises many types
        return None
    return content if isinstance(content, dict) else None


def write_cache(path: Path | None, content: dict[str, Any]) -> None:
    """Writes `content` to `path`, if there is one. Logs a warning if the file cannot be written."""
    if path is None:
        return
    try:
        with atomic_write(path) as file:
            torch.save(content, file)
    except OSError as error:
        log.warning("could not cache %s: %s", path, error)
