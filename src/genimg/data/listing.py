"""Lists a folder of images or clips by file names alone. Torch-free: the command uses it too.

Names that start with a dot are skipped. Symbolic links inside the folder are followed; links out of it are skipped,
unless `follow_links` is set.
"""

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from genimg.common.errors import UserError

IMAGES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff"})
VIDEOS = frozenset({".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm"})


@dataclass(frozen=True)
class ImageListing:
    """The images below a folder.

    paths: sorted.
    labels: the class of each path; empty without classes.
    classes: names of the class folders; empty if there are fewer than two.
    skipped_links: links out of the folder, and broken links.
    """

    paths: tuple[str, ...]
    labels: tuple[int, ...]
    classes: tuple[str, ...]
    skipped_links: tuple[str, ...]


@dataclass(frozen=True)
class ClipListing:
    """One clip. frames: the images of a folder of frames, in natural order (frame2 before frame10)."""

    path: str
    kind: Literal["animation", "frames", "video"]
    frames: tuple[str, ...] = ()


def count_classes(root: str | Path, follow_links: bool = False) -> int:
    """Returns the number of class folders below `root`, 0 if it is flat or missing. Looks for one image in each."""
    folder = str(root)
    if not os.path.isdir(folder) or _has_images(folder):
        return 0
    names = _class_folders(folder, follow_links)
    return len(names) if len(names) > 1 else 0


def list_images(root: str | Path, follow_links: bool = False) -> ImageListing:
    """Lists all images below `root`: a flat folder, or one folder for each class, which may be nested."""
    folder, skipped = str(root), list[str]()
    paths = sorted(_walk(folder, IMAGES, follow_links, skipped))
    start = len(os.path.join(folder, ""))
    tops = [path[start:].partition(os.sep) for path in paths]
    classes = sorted({top for top, inside, _ in tops if inside})
    if len(classes) < 2 or not all(inside for _, inside, _ in tops):
        return ImageListing(tuple(paths), (), (), tuple(skipped))
    number = {name: label for label, name in enumerate(classes)}
    return ImageListing(tuple(paths), tuple(number[top] for top, _, _ in tops), tuple(classes), tuple(skipped))


def list_clips(root: str | Path, follow_links: bool = False) -> tuple[list[ClipListing], list[str]]:
    """Lists the clips below `root` (GIFs, animated WebPs, videos, folders of images), and the skipped links."""
    clips: list[ClipListing] = []
    frames: dict[str, list[str]] = {}
    skipped: list[str] = []
    for path in _walk(str(root), IMAGES | VIDEOS, follow_links, skipped):
        if _suffix(path) in VIDEOS:
            clips.append(ClipListing(path, "video"))
        elif _suffix(path) == ".gif" or _is_animated_webp(path):
            clips.append(ClipListing(path, "animation"))
        else:
            frames.setdefault(os.path.dirname(path), []).append(path)
    clips += [ClipListing(folder, "frames", tuple(sorted(f, key=_natural))) for folder, f in frames.items()]
    return sorted(clips, key=lambda clip: clip.path), skipped


def images_in(folder: str | Path) -> list[str]:
    """Lists the images directly in a folder, sorted, without links out of it."""
    inside = os.path.join(os.path.realpath(folder), "")
    with os.scandir(folder) as entries:
        images = [one for one in entries if _suffix(one.name) in IMAGES and not one.name.startswith(".")]
        return sorted(one.path for one in images if _is(one.is_file) and not _leads_out(one, inside))


def require_images(root: str | Path | None, follow_links: bool = False) -> None:
    """Raises UserError if the folder of images is missing or empty, or both flat and with class folders."""
    folder = _require_folder(root, "images", "data=image_folder data.root=FOLDER")
    loose, names = _has_images(folder), _class_folders(folder, follow_links)
    if not loose and not names:
        hint = "there are none; links out of the folder are skipped, unless data.follow_links=true"
        raise UserError("data.root", folder, f"a folder with images ({_names(IMAGES)})", hint)
    if loose and names:
        expected = "images directly in the folder, or one folder for each class, not both"
        hint = f"there are images in it and in {len(names)} folders below, such as {names[0]}"
        raise UserError("data.root", folder, expected, hint)
    if "train" in names and set(names) <= {"train", "val", "valid", "validation", "test"}:
        expected = "the folder of the training images, from which validation and test images are set aside"
        raise UserError("data.root", folder, expected, f"data.root={os.path.join(folder, 'train')}")


def require_clips(root: str | Path | None, follow_links: bool = False) -> None:
    """Raises UserError if the folder of clips is missing or empty."""
    folder = _require_folder(root, "clips", "data=frame_folder data.root=FOLDER")
    if next(_walk(folder, IMAGES | VIDEOS, follow_links, []), None) is None:
        kinds = f"GIFs, animated WebPs, folders of frames, or videos ({_names(VIDEOS)})"
        raise UserError("data.root", folder, f"a folder with clips: {kinds}")


def _require_folder(root: str | Path | None, content: str, example: str) -> str:
    if root is None:
        raise UserError("data.root", None, f"the folder of your {content}", example)
    if not os.path.isdir(root):
        hint = "it is a file" if os.path.exists(root) else f"there is no such folder (relative to {os.getcwd()})"
        raise UserError("data.root", str(root), f"the folder of your {content}", hint)
    return str(root)


def _has_images(folder: str) -> bool:
    """Whether there are images directly in the folder."""
    return any(_suffix(name) in IMAGES and not name.startswith(".") for name in os.listdir(folder))


def _class_folders(folder: str, follow_links: bool) -> list[str]:
    """Names of the folders directly below that contain an image, at any depth."""
    inside = os.path.join(os.path.realpath(folder), "")
    with os.scandir(folder) as entries:
        folders = (entry for entry in entries if _is(entry.is_dir) and not entry.name.startswith("."))
        names = [entry.name for entry in folders if follow_links or not _leads_out(entry, inside)]
    return [name for name in sorted(names) if next(_walk(folder, IMAGES, follow_links, [], name), None)]


def _walk(
    root: str, suffixes: frozenset[str], follow_links: bool, skipped: list[str], below: str = ""
) -> Iterator[str]:
    """Yields the files below `root`/`below` with one of the suffixes, and adds skipped links to `skipped`."""
    inside = os.path.join(os.path.realpath(root), "")
    seen = {inside[:-1]}  # folders entered: links may form a cycle
    waiting = [os.path.join(root, below) if below else root]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                is_folder = _is(entry.is_dir)
                if entry.name.startswith(".") or not (is_folder or _suffix(entry.name) in suffixes):
                    continue
                if not follow_links and _leads_out(entry, inside):
                    skipped.append(entry.path)
                elif not is_folder:
                    if _is(entry.is_file):
                        yield entry.path
                elif (real := os.path.realpath(entry.path)) not in seen:
                    seen.add(real)
                    waiting.append(entry.path)


def _is(kind: Callable[[], bool]) -> bool:
    """`kind()`, and False for a link to itself, for which `DirEntry` raises an error."""
    try:
        return kind()
    except OSError:
        return False


def _leads_out(entry: os.DirEntry[str], inside: str) -> bool:
    return entry.is_symlink() and not os.path.join(os.path.realpath(entry.path), "").startswith(inside)


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()


def _is_animated_webp(path: str) -> bool:
    """Reads the animation flag of the extended header (WebP container specification, chunk VP8X)."""
    if _suffix(path) != ".webp":
        return False
    with open(path, "rb") as file:
        head = file.read(21)
    return len(head) == 21 and head[8:16] == b"WEBPVP8X" and bool(head[20] & 2)


def _natural(path: str) -> list[tuple[int, int, str]]:
    """Sort key for frame2 before frame10."""
    parts = re.split(r"(\d+)", os.path.basename(path))
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts]


def _names(suffixes: frozenset[str]) -> str:
    return " ".join(sorted(suffixes))
