"""The actions in a folder of clips, from its file `actions.csv`. Torch-free: the command uses it too.

    clip,frame,action
    walks/0001,0,left
    walks/0001,1,left

The action in a frame leads to the next one, so the last frame of a clip has none. Frames are counted from 0, and a clip
is named by its path in the folder.
"""

import csv
import io
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from genimg.common.errors import UserError, nearest
from genimg.common.limits import MOST_ACTIONS
from genimg.common.reading import read_bytes
from genimg.common.text import printable

FILE = "actions.csv"
COLUMNS = ("clip", "frame", "action")

_LARGEST = 2**25  # bytes: about 1.5 million actions
_KEY = "data.root"


@dataclass(frozen=True)
class Actions:
    """The actions of a folder of clips.

    path: of the file.
    names: of the actions 0, 1, ..., sorted.
    of_clips: by the path of a clip in the folder: the number of the action in each frame.
    """

    path: Path
    names: tuple[str, ...]
    of_clips: dict[str, dict[int, int]]

    def check_clips(self, listed: Sequence[str]) -> None:
        """Raises UserError for a clip that is not among the listed ones, and for a listed one without actions."""
        known = set(listed)
        for name in self.of_clips:
            if name not in known:
                near = nearest(name, known)
                expected = f"the path of a clip in the folder, such as {printable(min(known))}"
                hint = f"did you mean {printable(near)}?" if near else None
                raise UserError(_KEY, f"{self.path}: clip {printable(name)!r}", expected, hint)
        for name in listed:
            if name not in self.of_clips:
                raise UserError(_KEY, f"{self.path}: no actions of {printable(name)}", "the actions of every clip")

    def sequence(self, clip: str, frames: int) -> list[int]:
        """The numbers of the frames - 1 actions of a clip. Raises UserError if one is missing, or there are more."""
        found = self.of_clips[clip]
        wanted = range(frames - 1)
        wrong = next((frame for frame in wanted if frame not in found), None)
        if wrong is not None or len(found) > len(wanted):
            got = f"no action in frame {wrong}" if wrong is not None else f"an action in frame {max(found)}"
            expected = f"one in each of the frames 0 to {frames - 2}: the clip has {frames} frames"
            hint = "the action in a frame leads to the next frame; the last frame has none"
            raise UserError(_KEY, f"{self.path}: {got} of {printable(clip)}", expected, hint)
        return [found[frame] for frame in wanted]


def check_settings(frame_stride: int, sheet: Sequence[int] | None) -> None:
    """Raises UserError for settings of a folder of clips that leave frames out, or number them otherwise."""
    hint = "model.actions=false trains without them"
    if frame_stride > 1:
        expected = "1 for clips with actions: several of them lead from a frame to the next one that is used"
        raise UserError("data.frame_stride", frame_stride, expected, hint)
    if sheet is not None:
        raise UserError("data.sheet", list(sheet), "null for clips with actions, which have no names on a sheet", hint)


def count_actions(root: str | Path) -> int:
    """The number of actions in a folder; 0 without a file of actions. `read_actions` explains one that it refuses."""
    if not os.path.exists(Path(root, FILE)):
        return 0
    try:
        return len(read_actions(root).names)
    except UserError:
        return 0


def read_actions(root: str | Path) -> Actions:
    """Reads the file of actions in a folder. Further columns are ignored.

    Raises:
        UserError: for a file that is missing, damaged or too large, and for the first line that is wrong.
    """
    path = Path(root, FILE)
    try:
        # names of files may be any bytes (PEP 383)
        text = read_bytes(path, _LARGEST).decode("utf-8-sig", errors="surrogateescape")
    except ValueError as error:
        raise UserError(_KEY, path, f"a table with the columns {', '.join(COLUMNS)}", str(error)) from error
    names: dict[str, int] = {}
    clips: dict[str, dict[int, int]] = {}
    for line, clip, frame, action in _rows(path, text):
        taken = clips.setdefault(os.path.normpath(clip), {})
        if frame in taken:
            raise _wrong(path, line, f"frame {frame} of {printable(clip)} again", "one action in each frame")
        taken[frame] = names.setdefault(action, len(names))
        if len(names) > MOST_ACTIONS:
            expected = f"at most {MOST_ACTIONS:,} different actions"
            raise _wrong(path, line, f"action {len(names):,}, {action}", expected)
    if not names:
        raise UserError(_KEY, path, "a table of actions", "it has no rows below its head")
    ordered = sorted(names)
    position = {names[name]: number for number, name in enumerate(ordered)}
    of_clips = {clip: {frame: position[one] for frame, one in taken.items()} for clip, taken in clips.items()}
    return Actions(path, tuple(ordered), of_clips)


def _rows(path: Path, text: str) -> Iterator[tuple[int, str, int, str]]:
    """Yields the line, the clip, the frame and the action of each row. Blank lines are skipped."""
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        head = [name.strip() for name in next(rows, [])]
        if missing := [name for name in COLUMNS if name not in head]:
            expected = f"the columns {', '.join(COLUMNS)}"
            near = nearest(missing[0], head)
            hint = f"is {near} the column {missing[0]}?" if near else None
            raise _wrong(path, 1, f"no column {missing[0]}", expected, hint)
        places = [head.index(name) for name in COLUMNS]
        for row in rows:
            if not row:
                continue
            if len(row) <= max(places):
                raise _wrong(path, rows.line_num, f"{len(row)} values", f"{len(head)}, one for each column")
            clip, frame, action = (row[place].strip() for place in places)
            if not frame.isdecimal() or len(frame) > 9:
                raise _wrong(path, rows.line_num, f"frame {frame}", "a whole number, 0 for the first frame of a clip")
            if not clip or not action:
                raise _wrong(path, rows.line_num, "an empty value", "the path of a clip, and the name of an action")
            yield rows.line_num, clip, int(frame), printable(action)
    except csv.Error as error:
        raise _wrong(path, rows.line_num, "a row that cannot be read", "comma-separated values", str(error)) from error


def _wrong(path: Path, line: int, got: str, expected: str, hint: str | None = None) -> UserError:
    return UserError(_KEY, f"{path}, line {line}: {got}", expected, hint)
