"""What a run folder tells: its files, read and put in order."""

from __future__ import annotations

import json
import logging
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeGuard

from genimg.common.errors import UserError, in_a_line
from genimg.common.run_config import read_config
from genimg.common.run_folder import RunFolder
from genimg.evaluation.figure import Figure, counted
from genimg.evaluation.results import FORMAT

log = logging.getLogger(__name__)

Row = dict[str, Any]  # of metrics.jsonl
_LOGGED = re.compile(r"\S+ \S+ (?P<level>[A-Z]+) +\S+: (?P<message>.*)")  # a line of train.log; others go on with it
_LARGEST = 2**26  # bytes of a file that a page reads
_SEEN = 9  # digits of the images seen in the name of a sheet


@dataclass(frozen=True)
class Run:
    """One run as its files tell it; what is not there is empty.

    defaults: what its configuration would be by its model and data alone; None where the run does not tell.
    changed: settings that a resumed run went on with and had not begun with, one a line.
    error: what ended it, by its log; empty where nothing did.
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
    evaluation: dict[str, Any]

    @property
    def name(self) -> str:
        return self.folder.path.name

    @property
    def data(self) -> dict[str, Any]:
        """The data's part of its configuration; nothing where a damaged one has another value there."""
        data = self.config.get("data")
        return data if isinstance(data, dict) else {}

    @property
    def counts(self) -> str:
        """What `images_seen` counts: images or clips."""
        return counted(makes_sequences=self.data.get("num_frames") is not None)

    @property
    def images_seen(self) -> int:
        return max((row["images_seen"] for row in self.rows), default=0)

    @property
    def seconds(self) -> float:
        return max((row["seconds"] for row in self.rows), default=0.0)

    @property
    def moments(self) -> list[tuple[int, Path]]:
        """(images seen, image) of the sheets drawn on the way, in order; animations where there are any."""
        during = self.folder.samples / "during"
        sheets = [*sorted(during.glob(f"{'[0-9]' * _SEEN}.png")), *sorted(during.glob(f"{'[0-9]' * _SEEN}.gif"))]
        return sorted({int(path.stem): path for path in sheets if self._is_image(path)}.items())

    def images(self) -> dict[str, Path]:
        """The images besides those of `moments`, by what they show; the first is the one to look at first."""
        final = self.folder.final
        rebuilt = sorted((self.folder.samples / "during").glob("*-reconstructions.png"))
        possible = {
            "Animations": final / "animation.gif",
            "Samples": final / "sheet.png",
            "Interpolation": final / "interpolation.gif",
            "Interpolation, step by step": final / "interpolation.png",
            "Reconstructions: held-out images, each beside what the model makes of it": (rebuilt or [final])[-1],
            "Samples, each beside the training image it is nearest to": self.folder.path / "nearest.png",
        }
        return {title: path for title, path in possible.items() if self._is_image(path)}

    def _is_image(self, path: Path) -> bool:
        """A PNG or a GIF that lies in the run's folder: a link out of it would show a file of this machine."""
        if not readable(path, self.folder):
            return False
        with path.open("rb") as file:
            return file.read(4) in (b"\x89PNG", b"GIF8")


def read(folder: RunFolder) -> Run:
    """The run in `folder`; files that are missing or broken are left out, broken ones with a warning."""
    evaluation = folder.path / "evaluation.json"

    def lines(path: Path) -> list[str]:
        text = path.read_text(encoding="utf-8", errors="replace") if readable(path, folder) else ""
        return text.splitlines()

    return Run(
        folder,
        config=read_config(folder.config, "run"),
        defaults=_defaults(folder),
        overrides=lines(folder.overrides),
        commands=lines(folder.command),
        machine=_machine(lines(folder.log)),
        changed=_changed(lines(folder.log)),
        error=_error(lines(folder.log)),
        rows=[row for line in lines(folder.metrics) if (row := _row(line, folder.metrics))],
        evaluation=_evaluation("\n".join(lines(evaluation)), evaluation),
    )


def _defaults(folder: RunFolder) -> dict[str, Any] | None:
    """None for a run of a version that did not write them."""
    try:
        return read_config(folder.defaults, "run") if readable(folder.defaults, folder) else None
    except UserError as error:
        log.warning("%s: left out: %s", folder.defaults, in_a_line(str(error)))
        return None


def readable(path: Path, folder: RunFolder) -> bool:
    """Whether it is a file in the folder, and not too large for a page; a warning says that it is."""
    if not (path.is_file() and path.resolve().is_relative_to(folder.path.resolve())):
        return False
    if path.stat().st_size > _LARGEST:
        log.warning("%s: more than %d MB, and left out", path, _LARGEST >> 20)
        return False
    return True


def _row(text: str, path: Path) -> Row | None:
    """A row of metrics.jsonl, with the numbers of it, and null for those that are not finite."""
    row = _json(text, path)
    if row is None or not (_whole(row.get("images_seen")) and _number(row.get("seconds"))):
        return None
    return {name: value for name, value in row.items() if name == "stage" or value is None or _number(value)} | {
        "stage": str(row.get("stage"))
    }


def _evaluation(text: str, path: Path) -> dict[str, Any]:
    """evaluation.json, if a page can show it: of this version's format, and whole."""
    found = _json(text, path)
    if found is None:
        return {}
    try:
        figures = [asdict(Figure(**figure)) for figure in found["figures"]]
        counts = [found["checkpoint"]["images_seen"], found["settings"]["num_images"], *(one["n"] for one in figures)]
        numbers = [one[name] for one in figures for name in ("value", "floor", "uncertainty")]
        curves = [one[name] for one in figures for name in ("by_horizon", "floor_by_horizon")]
        words = [found["extractor"][name] for name in ("name", "digest")]
        words += [found["preprocessing"][name] for name in ("images", "features")]
        words += found["refused"].values()
        right = all(map(_whole, counts)) and all(number is None or _number(number) for number in numbers)
        right = right and all(isinstance(curve, list | tuple) for curve in curves)
        if found["format"] == FORMAT and right and all(isinstance(word, str) for word in words):
            return found | {"figures": figures}
    except (KeyError, TypeError, AttributeError):
        pass
    log.warning("%s: not as this version writes it, and left out", path)
    return {}


def _number(value: object) -> bool:
    """Whether it is one that a float holds: JSON has longer ones."""
    return isinstance(value, float) or (_whole(value) and abs(value) < 2**1000)


def _whole(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _json(text: str, path: Path) -> dict[str, Any] | None:
    if not text:
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        log.warning("%s: a part of it is no JSON, and is left out", path)
        return None
    return found if isinstance(found, dict) else None


def _machine(lines: list[str]) -> list[str]:
    """What the log says of machine, data and model, the last of each: a resumed run says it again."""
    said = {}
    for line in lines:
        message = line.partition(": ")[2]
        word = message.split(" ")[0]
        if word in ("machine", "data", "model"):
            said[word] = message
    return list(said.values())


def _changed(lines: list[str]) -> list[str]:
    """What the log says of changed settings; of a run that was killed before its next checkpoint, it says it twice."""
    messages = (logged["message"] for logged in map(_LOGGED.match, lines) if logged)
    return list(dict.fromkeys(m.removeprefix("changed").strip() for m in messages if m.startswith("changed ")))


def _error(lines: list[str]) -> str:
    """The last error in the log since the run began or was resumed, which both say by the machine first."""
    error = ""
    for logged in filter(None, map(_LOGGED.match, lines)):
        if logged["level"] == "ERROR":
            error = logged["message"].removeprefix("error: ")
        elif logged["message"].startswith("machine "):
            error = ""
    return error
