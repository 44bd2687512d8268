"""Lists a folder of images or clips. Torch-free: the command uses it too.

A file is an image or a video by its suffix. A file with another suffix, or none, is an image if it starts like one.
Names that start with a dot are ignored, and links to a folder that is listed anyway. Symbolic links out of the folder
are skipped, unless `follow_links` is set. Names may be any bytes: they are decoded as PEP 383 says.
"""

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from genimg.common.errors import UserError
from genimg.common.files import check_utf8
from genimg.common.text import printable

IMAGES = frozenset({".png", ".apng", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff"})
VIDEOS = frozenset({".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm"})

_MOST_CHUNKS = 100  # of a PNG that are read in search of an animation

# how the formats of `decode.FORMATS` begin
_BEGINNINGS = (b"\x89PNG\r\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a", b"II*\0", b"MM\0*")


@dataclass(frozen=True)
class Skipped:
    """Paths below a folder that are not listed.

    links: links out of the folder, and broken links.
    folders: folders that cannot be read.
    others: files that are neither images nor, where clips are listed, videos.
    """

    links: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class ImageListing:
    """The images below a folder.

    paths: sorted.
    labels: the class of each path; empty without classes.
    classes: names of the class folders, `printable`; empty if there are fewer than two.
    skipped: what is not listed.
    """

    paths: tuple[str, ...]
    labels: tuple[int, ...]
    classes: tuple[str, ...]
    skipped: Skipped


@dataclass(frozen=True)
class ClipListing:
    """One clip.

    frames: the images of a folder of frames, in natural order (frame2 before frame10).
    cells: of a sheet of frames: its columns and rows, and which of the rows are the clip.
    """

    path: str
    kind: Literal["animation", "frames", "video", "sheet"]
    frames: tuple[str, ...] = ()
    cells: tuple[int, int, range] = (1, 1, range(1))


def count_classes(root: str | Path, follow_links: bool = False) -> int:
    """Returns the number of class folders below `root`, 0 if it is flat or missing. Looks for one image in each."""
    folder = str(root)
    if not os.path.isdir(folder) or _has_images(folder):
        return 0
    names = _class_folders(folder, follow_links)
    return len(names) if len(names) > 1 else 0


def list_images(root: str | Path, follow_links: bool = False) -> ImageListing:
    """Lists all images below `root`: a flat folder, or one folder for each class, which may be nested."""
    folder, skipped = str(root), Skipped()
    paths = sorted(_walk(folder, IMAGES, follow_links, skipped))
    start = len(os.path.join(folder, ""))
    tops = [path[start:].partition(os.sep) for path in paths]
    classes = sorted({top for top, inside, _ in tops if inside})
    if len(classes) < 2 or not all(inside for _, inside, _ in tops):
        return ImageListing(tuple(paths), (), (), skipped)
    number = {name: label for label, name in enumerate(classes)}
    names = tuple(printable(name) for name in classes)
    return ImageListing(tuple(paths), tuple(number[top] for top, _, _ in tops), names, skipped)


def list_clips(root: str | Path, follow_links: bool = False) -> tuple[list[ClipListing], Skipped]:
    """Lists the clips below `root` (GIFs, animated WebPs and PNGs, videos, folders of images), and what is skipped."""
    clips: list[ClipListing] = []
    frames: dict[str, list[str]] = {}
    skipped = Skipped()
    for path in _walk(str(root), IMAGES | VIDEOS, follow_links, skipped):
        if (clip := clip_file(path)) is not None:
            clips.append(clip)
        else:
            frames.setdefault(os.path.dirname(path), []).append(path)
    clips += [ClipListing(folder, "frames", tuple(sorted(f, key=_natural))) for folder, f in frames.items()]
    return sorted(clips, key=lambda clip: clip.path), skipped


def clip_file(path: str) -> ClipListing | None:
    """The clip in a file: a video, a GIF, an animated WebP or PNG. None for other files."""
    if _suffix(path) in VIDEOS:
        return ClipListing(path, "video")
    animated = _suffix(path) == ".gif" or _is_animated_webp(path) or _is_animated_png(path)
    return ClipListing(path, "animation") if animated else None


def images_in(folder: str | Path) -> list[str]:
    """Lists the images directly in a folder, sorted, without links out of it."""
    inside = os.path.join(os.path.realpath(folder), "")
    images = [one for one in _visible(str(folder)) if _is(one.is_file) and _is_listed(one, IMAGES)]
    return sorted(one.path for one in images if not _leads_out(one, inside))


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
    if next(_walk(folder, IMAGES | VIDEOS, follow_links, Skipped()), None) is None:
        kinds = f"GIFs, animated WebPs or PNGs, folders of frames, or videos ({_names(VIDEOS)})"
        raise UserError("data.root", folder, f"a folder with clips: {kinds}")


def _require_folder(root: str | Path | None, content: str, example: str) -> str:
    if root is None:
        raise UserError("data.root", None, f"the folder of your {content}", example)
    if not os.path.isdir(root):
        hint = "it is a file" if os.path.exists(root) else f"there is no such folder (relative to {os.getcwd()})"
        raise UserError("data.root", str(root), f"the folder of your {content}", hint)
    if not os.access(root, os.R_OK | os.X_OK):
        raise UserError("data.root", str(root), f"the folder of your {content}", "its permissions forbid reading it")
    check_utf8("data.root", root, "a folder", "rename it, or link to it; the files in it may have any names")
    return str(root)


def _has_images(folder: str) -> bool:
    """Whether there are images directly in the folder."""
    return any(_is(entry.is_file) and _is_listed(entry, IMAGES) for entry in _visible(folder))


def _class_folders(folder: str, follow_links: bool) -> list[str]:
    """Names of the folders directly below that contain an image, at any depth."""
    inside = os.path.join(os.path.realpath(folder), "")
    names = [
        entry.name
        for entry in _visible(folder)
        if _is(entry.is_dir)
        and not _is_listed_elsewhere(entry, inside)
        and (follow_links or not _leads_out(entry, inside))
    ]
    return [name for name in names if next(_walk(folder, IMAGES, follow_links, Skipped(), name), None)]


def _walk(root: str, suffixes: frozenset[str], follow_links: bool, skipped: Skipped, below: str = "") -> Iterator[str]:
    """Yields the files below `root`/`below` with one of the suffixes, and adds the others to `skipped`."""
    inside = os.path.join(os.path.realpath(root), "")
    seen = {inside[:-1]}  # folders entered: links may form a cycle
    waiting = [os.path.join(root, below) if below else root]
    while waiting:
        folder = waiting.pop()
        try:
            entries = _visible(folder)
        except OSError:
            skipped.folders.append(folder)
            continue
        for entry in entries:
            if _is(entry.is_dir):
                if _is_listed_elsewhere(entry, inside):
                    continue
                if not follow_links and _leads_out(entry, inside):
                    skipped.links.append(entry.path)
                elif (real := os.path.realpath(entry.path)) not in seen:
                    seen.add(real)
                    waiting.append(entry.path)
            elif not follow_links and _leads_out(entry, inside):
                if _suffix(entry.name) in suffixes:
                    skipped.links.append(entry.path)
            elif _is(entry.is_file):
                if _is_listed(entry, suffixes):
                    yield entry.path
                else:
                    skipped.others.append(entry.path)


def _visible(folder: str) -> list[os.DirEntry[str]]:
    """The entries of a folder by name, without those whose name starts with a dot. Raises OSError."""
    with os.scandir(folder) as entries:
        return sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda entry: entry.name)


def _is_listed(entry: os.DirEntry[str], suffixes: frozenset[str]) -> bool:
    """Whether a file has one of the suffixes or, with an unknown suffix, starts like an image."""
    suffix = _suffix(entry.name)
    return suffix in suffixes or (suffix not in VIDEOS and _starts_like_an_image(entry.path))


def _starts_like_an_image(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            head = file.read(12)
    except OSError:
        return False
    return head.startswith(_BEGINNINGS) or (head[:4] == b"RIFF" and head[8:] == b"WEBP")


def _is_listed_elsewhere(entry: os.DirEntry[str], inside: str) -> bool:
    """Whether a link leads to a folder that is listed without it, or to one that contains it (`again -> .`)."""
    if not entry.is_symlink():
        return False
    real = os.path.join(os.path.realpath(entry.path), "")
    if inside.startswith(real):
        return True
    return real.startswith(inside) and not any(part.startswith(".") for part in real[len(inside) :].split(os.sep))


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
    try:
        with open(path, "rb") as file:
            head = file.read(21)
    except OSError:  # the reader says why
        return False
    return len(head) == 21 and head[8:16] == b"WEBPVP8X" and bool(head[20] & 2)


def _is_animated_png(path: str) -> bool:
    """Looks for the chunk acTL before the first image data (PNG specification, third edition, section 11.3.6.1)."""
    if _suffix(path) not in (".png", ".apng"):
        return False
    try:
        with open(path, "rb") as file:
            file.seek(8)
            for _ in range(_MOST_CHUNKS):
                head = file.read(8)
                if len(head) < 8 or head[4:] == b"IDAT":
                    return False
                if head[4:] == b"acTL":
                    return True
                file.seek(int.from_bytes(head[:4], "big") + 4, os.SEEK_CUR)  # the data and their checksum
    except OSError:  # the reader says why
        pass
    return False


def _natural(path: str) -> list[tuple[int, int, str]]:
    """Sort key for frame2 before frame10."""
    parts = re.split(r"(\d+)", os.path.basename(path))
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts]


def _names(suffixes: frozenset[str]) -> str:
    return " ".join(sorted(suffixes))
