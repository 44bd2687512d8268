"""A study: which images are shown, and what each of them is. The page has the first, the key the second.

fooled   one image a trial, real or generated: which is it?
better   two images a trial, of two runs, left and right at random: which is better? Ties are allowed.

The page draws a seed for each rater, who sees the trials in an order, and pairs on sides, of their own: `order` and
`mirrored` are what it does with it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Literal

import torch

from genimg.common.files import write_json
from genimg.common.html import data_uri, write_page

FORMAT = 3  # of key.json and of the raters' files
Mode = Literal["fooled", "better"]
ANSWERS: dict[str, tuple[str, ...]] = {"fooled": ("real", "generated"), "better": ("left", "tie", "right")}
REAL = "real images"
_BITS = 2**32 - 1


Trial = tuple[tuple[int, int], ...]  # (source, image of it), as the page holds them: left, right


@dataclass(frozen=True)
class Key:
    """What the page does not say. sources: names, which the trials count. repeats: trials that a rater sees twice."""

    study: str
    mode: Mode
    sources: tuple[str, ...]
    trials: tuple[Trial, ...]
    repeats: int


def plan(mode: Mode, sources: int, count: int, generator: torch.Generator) -> list[Trial]:
    """`count` trials.

    fooled: source 0 is real, and half of the trials show it; better: every pair of sources equally often, up to one,
    in an order drawn too, so that the page does not tell which run comes first. Each image is in one trial only.
    """
    if mode == "fooled":
        trials: list[Trial] = [((index % 2, index // 2),) for index in range(count)]
    else:
        pairs = list(combinations(range(sources), 2))
        trials, used = [], [0] * sources
        for index in range(count):
            left, right = pairs[index % len(pairs)]
            pair = ((left, used[left]), (right, used[right]))
            used[left], used[right] = used[left] + 1, used[right] + 1
            trials.append(pair if torch.rand((), generator=generator) < 0.5 else pair[::-1])
    return [trials[index] for index in torch.randperm(count, generator=generator).tolist()]


def order(count: int, repeats: int, seed: int) -> list[int]:
    """The trials as the rater with this seed sees them: all `count`, then `repeats` of their first half again.

    seed: 0 to 2^32 - 1. rate.html has the same function.
    """

    def shuffled(trials: Iterable[int], round_: int) -> list[int]:
        return sorted(trials, key=lambda trial: _drawn(seed, round_ * count + trial))

    first = shuffled(range(count), 0)
    return first + shuffled(first[: count // 2], 1)[:repeats]


def mirrored(count: int, trial: int, seed: int) -> bool:
    """Whether the rater with this seed first sees a trial of `count` the other way round than the page holds it.

    A trial that comes again is turned once more. rate.html has the same function.
    """
    return _drawn(seed, 2 * count + trial) % 2 == 1


def _drawn(seed: int, number: int) -> int:
    """The number-th of a seed's random 32-bit numbers."""
    return _mixed(_mixed(seed) + number)


def _mixed(number: int) -> int:
    """A permutation of 32-bit numbers: the finalizer of MurmurHash3 (Appleby 2011)."""
    number &= _BITS
    number = (number ^ number >> 16) * 0x85EBCA6B & _BITS
    number = (number ^ number >> 13) * 0xC2B2AE35 & _BITS
    return number ^ number >> 16


def needed(trials: list[Trial], source: int) -> int:
    """How many images of a source the trials show."""
    return max((image + 1 for trial in trials for of, image in trial if of == source), default=0)


def write(
    mode: Mode,
    sources: Sequence[tuple[str, Sequence[bytes], str]],
    trials: list[Trial],
    *,
    repeats: int,
    folder: Path,
    exposure: int | None,
) -> Key:
    """The key of the study, and in `folder` its rate.html and key.json.

    sources: (name, encoded images, MIME type) of each.
    repeats: how many trials are shown twice, at most half of them.
    exposure: milliseconds that images are shown; None is until the answer.
    """
    repeats = min(repeats, len(trials) // 2)
    shown = [[data_uri(sources[source][1][index], sources[source][2]) for source, index in trial] for trial in trials]
    asked = {"format": FORMAT, "mode": mode, "exposure": exposure, "repeats": repeats, "trials": shown}
    study = hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:16]
    key = Key(study, mode, tuple(name for name, _, _ in sources), tuple(trials), repeats)
    content = {"study": asked | {"study": study}, "mode": mode}
    write_page(folder / "rate.html", "genimg.evaluation.rating", "rate.html", {}, **content)
    write_json(folder / "key.json", {"format": FORMAT, **asdict(key)})
    return key


def read_key(path: Path) -> Key:
    """The inverse of `write`. ValueError where it is none."""
    content = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict) or content.get("format") != FORMAT or content["mode"] not in ANSWERS:
        raise ValueError("it is no key of this version")
    sources = tuple(map(str, content["sources"]))
    trials = tuple(tuple((source, image) for source, image in trial) for trial in content["trials"])
    for trial in trials:
        right = len(trial) == (1 if content["mode"] == "fooled" else 2)
        if not right or not all(0 <= source < len(sources) for source, _ in trial):
            raise ValueError("a trial of it shows what is not there")
    if type(content["repeats"]) is not int or not 0 <= content["repeats"] <= len(trials) // 2:
        raise ValueError("it repeats more than half of its trials")
    return Key(str(content["study"]), content["mode"], sources, trials, content["repeats"])
