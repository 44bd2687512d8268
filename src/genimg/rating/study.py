"""A study: which pictures are shown when, and what each of them is. The page has the first, the key the second.

fooled   one picture a trial, real or generated: which is it?
better   two pictures a trial, of two runs, left and right at random: which is better? Ties are allowed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Literal

import torch

from genimg.files import write_json
from genimg.html import data_uri, write_page

FORMAT = 1  # of key.json and of the raters' files
Mode = Literal["fooled", "better"]
ANSWERS: dict[str, tuple[str, ...]] = {"fooled": ("real", "generated"), "better": ("left", "tie", "right")}
REAL = "real pictures"


@dataclass(frozen=True)
class Trial:
    """shown: (source, picture of it), from left to right. repeat_of: the earlier trial that this one is again."""

    shown: tuple[tuple[int, int], ...]
    repeat_of: int | None = None


@dataclass(frozen=True)
class Key:
    """What the page does not say. sources: names, which `shown` counts."""

    study: str
    mode: Mode
    sources: tuple[str, ...]
    trials: tuple[Trial, ...]


def plan(mode: Mode, sources: int, count: int, repeats: float, generator: torch.Generator) -> list[Trial]:
    """`count` trials in random order, and after them a share `repeats` of those of the first half again.

    fooled: source 0 is real, and half of the trials show it; better: every pair of sources equally often, up to one.
    Each picture is shown in one trial only, but for repeats, which show pairs the other way round.
    """
    if mode == "fooled":
        trials = [Trial(((index % 2, index // 2),)) for index in range(count)]
    else:
        pairs = list(combinations(range(sources), 2))
        trials, used = [], [0] * sources
        for index in range(count):
            left, right = pairs[index % len(pairs)]
            pair = ((left, used[left]), (right, used[right]))
            used[left], used[right] = used[left] + 1, used[right] + 1
            trials.append(Trial(pair if torch.rand((), generator=generator) < 0.5 else pair[::-1]))
    trials = [trials[index] for index in torch.randperm(count, generator=generator).tolist()]
    again = torch.randperm(max(1, count // 2), generator=generator)[: round(repeats * count)]
    return trials + [Trial(trials[index].shown[::-1], index) for index in again.tolist()]


def needed(trials: list[Trial], source: int) -> int:
    """How many pictures of a source the trials show."""
    return max((picture + 1 for trial in trials for of, picture in trial.shown if of == source), default=0)


def write(
    mode: Mode,
    sources: Sequence[tuple[str, Sequence[bytes], str]],
    trials: list[Trial],
    *,
    folder: Path,
    exposure: int | None,
) -> Key:
    """The key of the study, and in `folder` its rate.html and key.json.

    sources: (name, encoded pictures, MIME type) of each.
    exposure: milliseconds that pictures are shown; None is until the answer.
    """
    shown = [
        [data_uri(sources[source][1][index], sources[source][2]) for source, index in trial.shown] for trial in trials
    ]
    study = hashlib.sha256(json.dumps([mode, shown]).encode()).hexdigest()[:16]
    key = Key(study, mode, tuple(name for name, _, _ in sources), tuple(trials))
    asked = {"format": FORMAT, "study": study, "mode": mode, "exposure": exposure, "trials": shown}
    write_page(folder / "rate.html", "genimg.rating", "rate.html", {}, study=asked, mode=mode)
    write_json(folder / "key.json", {"format": FORMAT, **asdict(key)})
    return key


def read_key(path: Path) -> Key:
    """The inverse of `write`. ValueError where it is none."""
    content = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict) or content.get("format") != FORMAT or content["mode"] not in ANSWERS:
        raise ValueError("it is no key of this version")
    sources = tuple(map(str, content["sources"]))
    trials = tuple(Trial(tuple(map(tuple, one["shown"])), one["repeat_of"]) for one in content["trials"])
    for trial in trials:
        right = len(trial.shown) == (1 if content["mode"] == "fooled" else 2)
        if not right or not all(0 <= source < len(sources) for source, _ in trial.shown):
            raise ValueError("a trial of it shows what is not there")
        if trial.repeat_of is not None and not 0 <= trial.repeat_of < len(trials):
            raise ValueError("a trial of it repeats none")
    return Key(str(content["study"]), content["mode"], sources, trials)
