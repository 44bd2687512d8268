"""What is kept of an evaluation because making it again takes minutes: plain tensors in a file."""

import logging
from pathlib import Path
from typing import Any

import torch

from genimg.common.files import atomic_write

log = logging.getLogger(__name__)


def read(path: Path | None) -> dict[str, Any] | None:
    """What `keep` wrote, or None where it is missing or damaged: then it is made again."""
    try:
        found = None if path is None else torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # torch raises half a dozen types
        return None
    return found if isinstance(found, dict) else None


def keep(content: dict[str, Any], path: Path | None) -> None:
    """Into `path`, where there is one; where it cannot be written, the log says so."""
    if path is None:
        return
    try:
        with atomic_write(path) as file:
            torch.save(content, file)
    except OSError as error:
        log.warning("could not keep %s: %s", path, error)
