"""A study: the images that raters see (in the page), and their sources (in the key).

Modes:
    real_or_generated: one image per trial, real or generated. Which is it?
    preference: two images per trial, of two runs, on random sides. Which is better? Ties are allowed.

The page draws a seed for each rater, which determines the order of the trials and the sides of each pair: see `order`
and `mirrored`.
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
from genimg.common.reading import read_json

FORMAT = 3  # of key.json and of the raters' files
Mode = Literal["real_or_generated", "preference"]
ANSWERS: dict[str, tuple[str, ...]] = {
    "real_or_generated": ("real", "generated"),
    "preference": ("left", "tie", "right"),
}
REAL = "real images"
_BITS = 2**32 - 1

Trial = tuple[tuple[int, int], ...]  # (source, image of the source), in the order of the page: left, right


@dataclass(frozen=True)
class Key:
    """The key of a study: what the page does not reveal.

    Attributes:
        sources: their names, by the numbers in the trials.
        repeats: the number of trials that a rater sees twice.
    """

    study: str
    mode: Mode
    sources: tuple[str, ...]
    trials: tuple[Trial, ...]
    repeats: int


def plan_trials(mode: Mode, sources: int, count: int, generator: torch.Generator) -> list[Trial]:
    """Returns `count` trials in random order; each image occurs in one trial only.

    real_or_generated: source 0 is real, and half of the trials show it.
    preference: all pairs of sources are equally frequent, up to one, with random sides, so that the page does not
    reveal which run is the first.
    """
    if mode == "real_or_generated":
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
    """The order of trials for a rater with this seed: all `count`, then `repeats` of the first half again.

    rate.html contains the same function.

    Args:
        seed: 0 to 2^32 - 1.
    """

    def shuffled(trials: Iterable[int], round_: int) -> list[int]:
        return sorted(trials, key=lambda trial: _random(seed, round_ * count + trial))

    first = shuffled(range(count), 0)
    return first + shuffled(first[: count // 2], 1)[:repeats]


def mirrored(count: int, trial: int, seed: int) -> bool:
    """Whether the rater with this seed first sees a trial of `count` with its sides swapped.

    A repeated trial is swapped once more. rate.html contains the same function.
    """
    return _random(seed, 2 * count + trial) % 2 == 1


def _random(seed: int, number: int) -> int:
    """The number-th random 32-bit number of a seed."""
    return _mix(_mix(seed) + number)


def _mix(number: int) -> int:
    """A permutation of 32-bit numbers: the finalizer of MurmurHash3 (Appleby 2011)."""
    number &= _BITS
    number = (number ^ number >> 16) * 0x85EBCA6B & _BITS
    number = (number ^ number >> 13) * 0xC2B2AE35 & _BITS
    return number ^ number >> 16


def images_needed(trials: list[Trial], source: int) -> int:
    """The number of images of a source in the trials."""
    return max((image + 1 for trial in trials for of, image in trial if of == source), default=0)


def write_study(
    mode: Mode,
    sources: Sequence[tuple[str, Sequence[bytes], str]],
    trials: list[Trial],
    *,
    repeats: int,
    folder: Path,
    exposure: int | None,
) -> Key:
    """Writes rate.html and key.json to `folder`. Returns the key.

    Args:
        sources: (name, encoded images, MIME type) of each.
        repeats: the number of trials shown twice, at most half of them.
        exposure: milliseconds for which images are shown; None shows them until the answer.
    """
    repeats = min(repeats, len(trials) // 2)
    shown = [[data_uri(sources[source][1][index], sources[source][2]) for source, index in trial] for trial in trials]
    content = {"format": FORMAT, "mode": mode, "exposure": exposure, "repeats": repeats, "trials": shown}
    study = hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]
    key = Key(study, mode, tuple(name for name, _, _ in sources), tuple(trials), repeats)
    page = {"study": content | {"study": study}, "mode": mode}
    write_page(folder / "rate.html", "genimg.evaluation.rating", "rate.html", {}, **page)
    write_json(folder / "key.json", {"format": FORMAT, **asdict(key)})
    return key


def read_key(path: Path) -> Key:
    """Reads the key.json that `write_study` wrote.

    Raises:
        ValueError: if it is damaged or of another version.
    """
    content = read_json(path)
    if not isinstance(content, dict) or content.get("format") != FORMAT or content["mode"] not in ANSWERS:
        raise ValueError(f"it is not a key of format {FORMAT}")
    sources = tuple(map(str, content["sources"]))
    trials = tuple(tuple((source, image) for source, image in trial) for trial in content["trials"])
    for trial in trials:
        right = len(trial) == (1 if content["mode"] == "real_or_generated" else 2)
        if not right or not all(0 <= source < len(sources) for source, _ in trial):
            raise ValueError("a trial of the key names a source that does not exist")
    if type(content["repeats"]) is not int or not 0 <= content["repeats"] <= len(trials) // 2:
        raise ValueError("the key repeats more than half of its trials")
    return Key(str(content["study"]), content["mode"], sources, trials, content["repeats"])
