"""Many files read by threads, and a warning that lists those that could not be."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from PIL import Image

from genimg.common.errors import UserError

log = logging.getLogger(__name__)

Failures = dict[str, str]  # path -> why it could not be read

_NAMED = 5  # files named in a warning


def read_each(paths: Sequence[str], work: Callable[[int], None]) -> Failures:
    """Calls `work(row)` for each path's row, in threads: Pillow decodes outside Python's lock.

    Raises UserError where `work` does.
    """

    def attempt(row: int) -> str | None:
        try:
            work(row)
        except UserError:
            raise
        except Exception as error:  # Pillow's readers raise nearly anything on a damaged file
            return reason(paths[row], error)
        return None

    with warnings.catch_warnings(), ThreadPoolExecutor(os.cpu_count()) as pool:
        warnings.simplefilter("ignore", UserWarning)  # Pillow's remarks on odd metadata
        warnings.simplefilter("error", Image.DecompressionBombWarning)  # `decode.opened` says what it means
        reasons = pool.map(attempt, range(len(paths)))
        return {path: said for path, said in zip(paths, reasons, strict=True) if said}


def reason(path: str, error: Exception) -> str:
    """`cat.png: UnidentifiedImageError`, with what was said where that does not only repeat the name."""
    said = str(error).split("\n")[0]
    return f"{path}: {type(error).__name__}" + (f" ({said})" if said and path not in said else "")


def warn_of(failures: Failures, total: int, what: str) -> None:
    """`3 of 100 images are left out:` and the first few."""
    if failures:
        named = "".join(f"\n  {said}" for said in list(failures.values())[:_NAMED])
        more = f"\n  and {len(failures) - _NAMED} more" if len(failures) > _NAMED else ""
        log.warning("%d of %d %s are left out:%s%s", len(failures), total, what, named, more)


def warn_of_links(skipped: Sequence[str], root: str) -> None:
    """The links that lead out of a folder, with the key that follows them, and those that lead nowhere."""
    out = [path for path in skipped if os.path.exists(path)]
    nowhere = [path for path in skipped if not os.path.exists(path)]
    if out:
        log.warning("links that lead out of %s are skipped: %d (%s); data.follow_links=true", root, len(out), out[0])
    if nowhere:
        log.warning("links in %s that lead nowhere are skipped: %d (%s)", root, len(nowhere), nowhere[0])
