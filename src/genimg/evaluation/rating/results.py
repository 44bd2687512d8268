"""Statistics of a study from the raters' files. The files are untrusted: each is checked before it is counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import torch

from genimg.common.errors import UserError
from genimg.common.reading import read_json
from genimg.evaluation.rating.statistics import bradley_terry, fleiss_kappa, proportion
from genimg.evaluation.rating.study import ANSWERS, FORMAT, Key, mirrored, order

_LARGEST = 10 * 2**20  # bytes of a rater's file
_FEWEST = 3  # sources for Bradley-Terry strengths
_OPPOSITE = {"left": "right", "right": "left"}


@dataclass(frozen=True)
class Rater:
    """The answers of one file by trial; a rater may skip the last trials.

    `left` and `right` are the sides in the key, whichever side the rater saw an image on.

    Attributes:
        again: answers to repeated trials.
    """

    name: str
    answers: dict[int, str]
    again: dict[int, str]


@dataclass(frozen=True)
class Line:
    """One statistic of n answers: a proportion with its interval, or a number without one."""

    name: str
    value: float
    n: int
    low: float | None = None
    high: float | None = None
    p: float | None = None
    note: str = ""


def read_raters(paths: Sequence[Path], key: Key) -> list[Rater]:
    """Reads the raters' files.

    Raises:
        UserError: for the first file that is damaged, belongs to another study, or occurs twice.
    """
    raters = [_read(path, key) for path in paths]
    names = [rater.name for rater in raters]
    for path, name in zip(paths, names, strict=True):
        if names.count(name) > 1:
            raise UserError("results", path, f"one file per rater; {names.count(name)} files are of {name!r}")
    return raters


def _read(path: Path, key: Key) -> Rater:
    expected = "a file of answers saved from rate.html"
    try:
        content = read_json(path, _LARGEST)
        if content["format"] != FORMAT:
            raise ValueError(f"its format is not {FORMAT}")
        if content["study"] != key.study:
            raise UserError(
                "results", path, f"answers to study {key.study}", f"it is of study {content['study']!r:.40}"
            )
        seed = content["seed"]
        given: list[tuple[int, str]] = [(one["trial"], one["answer"]) for one in content["answers"]]
        if type(seed) is not int or not 0 <= seed < 2**32:
            raise ValueError(f"{seed!r:.40} is not a seed")
        if [trial for trial, _ in given] != order(len(key.trials), key.repeats, seed)[: len(given)]:
            raise ValueError(f"its answers are not in the order of its seed, {seed}")
        for _, answer in given:
            if answer not in ANSWERS[key.mode]:
                raise ValueError(f"{answer!r:.40} is not an answer of this study")
        count = len(key.trials)
        answers: list[tuple[int, str]] = []
        for place, (trial, answer) in enumerate(given):
            swapped = mirrored(count, trial, seed) != (place >= count)
            answers.append((trial, _OPPOSITE.get(answer, answer) if swapped else answer))
        return Rater(str(content["rater"])[:60], dict(answers[:count]), dict(answers[count:]))
    except KeyError as error:
        raise UserError("results", path, expected, f"it has no {error}") from error
    except (ValueError, TypeError) as error:
        raise UserError("results", path, expected, f"{error}") from error


def statistics(key: Key, raters: Sequence[Rater]) -> list[Line]:
    """Proportions of the first answers, and the agreement between and within raters."""
    counted = _real_or_generated(key, raters) if key.mode == "real_or_generated" else _preferences(key, raters)
    return [*counted, *_agreement(key, raters)]


def _first_answers(raters: Sequence[Rater]) -> list[tuple[int, str]]:
    """(trial, answer) of all raters, without the repeated trials."""
    return [answer for rater in raters for answer in rater.answers.items()]


def _real_or_generated(key: Key, raters: Sequence[Rater]) -> list[Line]:
    lines = []
    for source, name in reversed(list(enumerate(key.sources))):
        given = [answer for trial, answer in _first_answers(raters) if key.trials[trial][0][0] == source]
        note = "judged real" if source else "real images judged real: the upper limit"
        if given:
            lines.append(Line(name, *proportion(given.count("real"), len(given)), note))
    return lines


def _preferences(key: Key, raters: Sequence[Rater]) -> list[Line]:
    count = len(key.sources)
    wins = torch.zeros(count, count, dtype=torch.float64)
    ties = torch.zeros(count, count, dtype=torch.int64)
    for trial, answer in _first_answers(raters):
        left, right = (source for source, _ in key.trials[trial])
        if answer == "tie":
            ties[min(left, right), max(left, right)] += 1
        else:
            wins[(left, right) if answer == "left" else (right, left)] += 1
    lines = []
    for a, b in combinations(range(count), 2):
        decided, tied = int(wins[a, b] + wins[b, a]), int(ties[a, b])
        name, note = f"{key.sources[a]} over {key.sources[b]}", f"preferred, without {tied} ties"
        if decided:
            lines.append(Line(name, *proportion(int(wins[a, b]), decided), note))
        elif tied:
            lines.append(Line(name, 0.5, tied, note=f"{tied} ties and no preference"))
    if count >= _FEWEST:
        halves = 0.5 * (ties + ties.T)
        try:
            strengths = bradley_terry(wins + halves).tolist()
        except ValueError:  # too few answers
            return lines
        games = (wins + wins.T + 2 * halves).sum(1).tolist()
        note = "Bradley-Terry strength; the sum is 1"
        ranked = sorted(zip(strengths, key.sources, games, strict=True), reverse=True)
        lines += [Line(name, strength, int(n), note=note) for strength, name, n in ranked]
    return lines


def _agreement(key: Key, raters: Sequence[Rater]) -> list[Line]:
    lines = []
    common = sorted(set.intersection(*(set(rater.answers) for rater in raters))) if len(raters) > 1 else []
    if common:
        counts = [[sum(r.answers[t] == answer for r in raters) for answer in ANSWERS[key.mode]] for t in common]
        note = f"Fleiss' kappa of {len(raters)} raters: 1 full agreement, 0 chance"
        lines.append(Line("agreement between raters", fleiss_kappa(torch.tensor(counts)), len(common), note=note))
    again = [answer == rater.answers[trial] for rater in raters for trial, answer in rater.again.items()]
    if again:
        note = "share of repeated trials with the same answer"
        lines.append(Line("agreement within raters", sum(again) / len(again), len(again), note=note))
    return lines
