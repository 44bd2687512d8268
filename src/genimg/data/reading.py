"""Reads many files with threads, and warns about the files that cannot be read."""

import logging
import os
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from PIL import Image

from genimg.common.errors import UserError
from genimg.common.text import printable
from genimg.data.listing import Skipped

log = logging.getLogger(__name__)

Failures = dict[str, str]  # path -> reason why the file cannot be read

_LISTED = 5  # files listed in a warning


def read_each(paths: Sequence[str], read: Callable[[int], None]) -> Failures:
    """Calls `read(row)` for the row of each path, in threads (Pillow decodes without the global interpreter lock).

    Returns the files for which `read` raised an error. A UserError is not caught.
    """

    def attempt(row: int) -> str | None:
        try:
            read(row)
        except UserError:
            raise
        except Exception as error:  # Pillow raises many types of errors for damaged files
            return reason(paths[row], error)
        return None

    with warnings.catch_warnings(), ThreadPoolExecutor(os.cpu_count()) as pool:
        warnings.simplefilter("ignore", UserWarning)  # Pillow's remarks on metadata
        warnings.simplefilter("error", Image.DecompressionBombWarning)  # `decode.open_image` explains it
        reasons = pool.map(attempt, range(len(paths)))
        return {path: why for path, why in zip(paths, reasons, strict=True) if why}


def reason(path: str, error: Exception) -> str:
    """`cat.png: UnidentifiedImageError`, with the first line of the message unless it only repeats the path."""
    message = str(error).split("\n")[0]
    told = f" ({message})" if message and path not in message else ""
    return printable(f"{path}: {type(error).__name__}{told}")


def warn_about_failures(failures: Failures, total: int, kind: str) -> None:
    """Warns `3 of 100 images are skipped:` and lists the first few. `kind`: plural of the items."""
    if failures:
        listed = "".join(f"\n  {why}" for why in list(failures.values())[:_LISTED])
        more = f"\n  and {len(failures) - _LISTED} more" if len(failures) > _LISTED else ""
        log.warning("%d of %d %s are skipped:%s%s", len(failures), total, kind, listed, more)


def warn_about_skipped(skipped: Skipped, root: str) -> None:
    """Warns about what a listing of `root` skips: links, unreadable folders, and files of other kinds, by suffix."""
    outside = [path for path in skipped.links if os.path.exists(path)]
    broken = [path for path in skipped.links if not os.path.exists(path)]
    shown = printable(root)
    if outside:
        message = "%d links out of %s are skipped, for example %s; data.follow_links=true follows them"
        log.warning(message, len(outside), shown, printable(outside[0]))
    if broken:
        log.warning("%d broken links in %s are skipped, for example %s", len(broken), shown, printable(broken[0]))
    if skipped.folders:
        message = "%d folders in %s cannot be read and are skipped, for example %s"
        log.warning(message, len(skipped.folders), shown, printable(skipped.folders[0]))
    if skipped.others:
        suffixes = Counter(os.path.splitext(path)[1].lower() or "no suffix" for path in skipped.others)
        kinds = ", ".join(f"{count} {printable(suffix)}" for suffix, count in suffixes.most_common(_LISTED))
        more = ", ..." if len(suffixes) > _LISTED else ""
        log.warning(
            "%d files in %s are of other formats and are not read: %s%s", len(skipped.others), shown, kinds, more
        )
