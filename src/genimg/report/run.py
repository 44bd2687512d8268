"""The content of a run folder for the pages. The files may be untrusted."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, takewhile
from pathlib import Path
from typing import Any

from genimg.common.errors import UserError, in_a_line
from genimg.common.monitored import read_best
from genimg.common.reading import Line, describe_damage, read_bytes, read_json_lines
from genimg.common.run_config import read_config
from genimg.common.run_folder import RunFolder
from genimg.evaluation.figure import Better, counted
from genimg.evaluation.results import FILE, Evaluation, is_integer, is_number, parse_evaluation

log = logging.getLogger(__name__)

Row = dict[str, Any]  # of metrics.jsonl
_LOG_LINE = re.compile(r"\S+ \S+ (?P<level>[A-Z]+) +\S+: (?P<message>.*)")  # further lines of a message do not match
_LARGEST = 2**26  # bytes of a file that a page reads
_MOST_ROWS = 20_000  # of a chart: further rows are thinned evenly, and the newest stays
_MOST_NAMES = 200  # metrics of a chart
_MOST_SHEET_BYTES = 2**27  # of all sheets of a run in a page: the newest are shown
_DIGITS = 9  # of images_seen in the name of a sheet


@dataclass(frozen=True)
class Run:
    """The content of a run folder; the value of a missing file is empty.

    Attributes:
        defaults: the configuration of its model and data without overrides; None if the file is missing or damaged.
        machine: the last log messages about machine, data and model.
        changed: settings that changed when the run was resumed, one per line.
        error: the last error in the log; empty if there is none.
    """

    folder: RunFolder
    config: dict[str, Any]
    defaults: dict[str, Any] | None
    overrides: list[str]
    commands: list[str]
    machine: list[str]
    changed: list[str]
    error: str
    rows: list[Row]
    evaluation: Evaluation | None

    @property
    def name(self) -> str:
        return self.folder.path.name

    def group(self, name: str) -> dict[str, Any]:
        """A group of the configuration; empty if a damaged configuration has another type there."""
        found = self.config.get(name)
        return found if isinstance(found, dict) else {}

    @property
    def unit(self) -> str:
        """The unit of `images_seen`: images or clips."""
        return counted(makes_sequences=self.group("data").get("num_frames") is not None)

    @property
    def images_seen(self) -> int:
        return max((row["images_seen"] for row in self.rows), default=0)

    @property
    def seconds(self) -> float:
        return max((row["seconds"] for row in self.rows), default=0.0)

    @property
    def monitor(self) -> dict[str, Better]:
        """The metric that selects the best checkpoint and its direction; empty before it is measured."""
        best = read_best(self.folder.best_metric)
        return {} if best is None else {best.name: "higher" if best.direction == "max" else "lower"}

    @cached_property
    def sheets(self) -> list[tuple[int, Path]]:
        """(images seen, image) of the sheets drawn during training, in order; animations if there are any."""
        during = self.folder.samples / "during"
        paths = [*sorted(during.glob(f"{'[0-9]' * _DIGITS}.png")), *sorted(during.glob(f"{'[0-9]' * _DIGITS}.gif"))]
        found = sorted({int(path.stem): path for path in paths if self._is_image(path)}.items())
        sizes = accumulate(path.stat().st_size for _, path in reversed(found))
        shown = sum(1 for _ in takewhile(lambda size: size <= _MOST_SHEET_BYTES, sizes))
        if shown < len(found):
            log.warning("%s: the newest %d of %d sheets are shown, up to 128 MB", during, shown, len(found))
        return found[len(found) - shown :]

    def images(self) -> dict[str, Path]:
        """The other images by title, the most important first."""
        final = self.folder.final
        reconstructions = sorted((self.folder.samples / "during").glob("*-reconstructions.png"))
        possible = {
            "Animations": final / "animation.gif",
            "Samples": final / "sheet.png",
            "Interpolation": final / "interpolation.gif",
            "Interpolation, step by step": final / "interpolation.png",
            "Reconstructions: held-out images, each beside its reconstruction": (reconstructions or [final])[-1],
            "Samples, each beside its nearest training image": self.folder.path / "nearest.png",
        }
        return {title: path for title, path in possible.items() if self._is_image(path)}

    def _is_image(self, path: Path) -> bool:
        """Whether it is a PNG or GIF in the run folder: a link could point to another file of this machine."""
        if not readable(path, self.folder):
            return False
        with path.open("rb") as file:
            return file.read(4) in (b"\x89PNG", b"GIF8")


def read(folder: RunFolder) -> Run:
    """Reads the run in `folder`. Skips missing files, and damaged ones with a warning.

    Raises:
        UserError: if the configuration is missing or damaged.
    """

    def lines(path: Path) -> list[str]:
        try:
            content = read_bytes(path, _LARGEST) if readable(path, folder) else b""
        except ValueError as error:  # of a file that cannot be read
            log.warning("%s skipped: %s", path, error)
            return []
        return content.decode(errors="replace").splitlines()

    machine, changed, error = _log(lines(folder.log))
    return Run(
        folder,
        config=read_config(folder.config, "run"),
        defaults=_defaults(folder),
        overrides=lines(folder.overrides),
        commands=lines(folder.command),
        machine=machine,
        changed=changed,
        error=error,
        rows=_rows(folder.metrics) if readable(folder.metrics, folder) else [],
        evaluation=_evaluation("\n".join(lines(folder.path / FILE)), folder.path / FILE),
    )


def readable(path: Path, folder: RunFolder) -> bool:
    """Whether it is a file in the folder and not too large; logs a warning if it is too large."""
    if not (path.is_file() and path.resolve().is_relative_to(folder.path.resolve())):
        return False
    if path.stat().st_size > _LARGEST:
        log.warning("%s skipped: it is larger than %d MB", path, _LARGEST >> 20)
        return False
    return True


def _defaults(folder: RunFolder) -> dict[str, Any] | None:
    try:
        return read_config(folder.defaults, "run") if readable(folder.defaults, folder) else None
    except UserError as error:
        log.warning("%s skipped: %s", folder.defaults, in_a_line(str(error)))
        return None


def _rows(path: Path) -> list[Row]:
    """The rows of metrics.jsonl, at most `_MOST_ROWS` of `_MOST_NAMES` metrics. Warns of what is left out."""
    try:
        lines = [line._replace(row=_row(line)) for line in read_json_lines(path)]
    except ValueError as error:
        log.warning("%s skipped: %s", path, error)
        return []
    if told := describe_damage(path, lines):
        log.warning("%s", told)
    rows = [line.row for line in lines if line.row is not None]
    thinned = [row for training in (True, False) for row in _thinned([r for r in rows if _is_training(r) is training])]
    if len(thinned) < len(rows):
        log.warning("%s: %d of %d rows are shown", path, len(thinned), len(rows))
    thinned.sort(key=lambda row: row["images_seen"])
    names = dict.fromkeys(name for row in reversed(thinned) for name in row)
    if len(names) <= _MOST_NAMES:
        return thinned
    log.warning("%s: %d of %d metrics are shown", path, _MOST_NAMES, len(names))
    kept = {"images_seen", "seconds", "stage", *list(names)[:_MOST_NAMES]}
    return [{name: value for name, value in row.items() if name in kept} for row in thinned]


def _is_training(row: Row) -> bool:
    return row["stage"] == "train"


def _thinned(rows: list[Row]) -> list[Row]:
    """Every k-th row, counted from the newest, so that at most half of `_MOST_ROWS` remain."""
    step = max(1, -(-len(rows) // (_MOST_ROWS // 2)))
    return rows[::-step][::-1]


def _row(line: Line) -> Row | None:
    """The numbers in a line of metrics.jsonl, null if not finite, and its stage; None if it is damaged."""
    row = line.row
    if row is None or not (is_integer(row.get("images_seen")) and is_number(row.get("seconds"))):
        return None
    numbers = {name: value for name, value in row.items() if value is None or is_number(value)}
    return numbers | {"stage": str(row.get("stage"))}


def _evaluation(text: str, path: Path) -> Evaluation | None:
    if not text:
        return None
    try:
        return parse_evaluation(text)
    except ValueError as error:
        log.warning("%s skipped: %s", path, in_a_line(str(error)))
        return None


def _log(lines: list[str]) -> tuple[list[str], list[str], str]:
    """The machine, the changed settings and the error of a run, from the lines of train.log; see `Run`.

    A resumed run logs its machine, data and model again, and repeats changes that it made before it was killed. Its
    message about the machine comes first, so errors before that are of earlier attempts.
    """
    machine: dict[str, str] = {}
    changed: list[str] = []
    error = ""
    for line in filter(None, map(_LOG_LINE.match, lines)):
        topic, _, text = line["message"].partition(" ")
        if line["level"] == "ERROR":
            error = line["message"].removeprefix("error: ")
        elif topic == "changed":
            changed.append(text.strip())
        elif topic in ("machine", "data", "model"):
            machine[topic] = line["message"]
            error = "" if topic == "machine" else error
    return list(machine.values()), list(dict.fromkeys(changed)), error
