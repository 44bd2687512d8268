"""From the raters' files to figures. Every file is a stranger's: it is checked before anything is counted."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import torch

from genimg.common.errors import UserError
from genimg.evaluation.metrics.judgement import Rate, bradley_terry, fleiss_kappa, rate, same
from genimg.evaluation.rating.study import ANSWERS, FORMAT, Key, mirrored, order

_LARGEST = 10 * 2**20  # bytes of a rater's file
_ENOUGH = 3  # sources from which strengths are told
_OTHER = {"left": "right", "right": "left"}


@dataclass(frozen=True)
class Rater:
    """One file: answers by trial; not every trial need be answered. again: those to trials that came a second time.

    `left` and `right` are the key's, whatever side the rater saw an image on.
    """

    name: str
    answers: dict[int, str]
    again: dict[int, str]


@dataclass(frozen=True)
class Line:
    """One figure: a rate, or a number without an interval; n answers."""

    name: str
    value: float
    n: int
    low: float | None = None
    high: float | None = None
    p: float | None = None
    note: str = ""


def read(paths: Sequence[Path], key: Key) -> list[Rater]:
    """The raters' files. UserError for the first that is damaged, of another study, or there twice."""
    raters = [_read(path, key) for path in paths]
    names = [rater.name for rater in raters]
    for path, name in zip(paths, names, strict=True):
        if names.count(name) > 1:
            raise UserError("results", path, f"one file a rater, and there are {names.count(name)} of {name!r}")
    return raters


def _read(path: Path, key: Key) -> Rater:
    wanted = "a file that rate.html let a rater save"
    try:
        if path.stat().st_size > _LARGEST:
            raise ValueError("it is too large")
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != FORMAT:
            raise ValueError(f"its format is not {FORMAT}")
        if content["study"] != key.study:
            raise UserError(
                "results", path, f"answers to study {key.study}", f"it is of study {content['study']!r:.40}"
            )
        seed = content["seed"]
        given: list[tuple[int, str]] = [(one["trial"], one["answer"]) for one in content["answers"]]
        if type(seed) is not int or not 0 <= seed < 2**32:
            raise ValueError(f"{seed!r:.40} is no seed")
        if [trial for trial, _ in given] != order(len(key.trials), key.repeats, seed)[: len(given)]:
            raise ValueError(f"its answers are not in the order that its seed, {seed}, gives the study's trials")
        for _, answer in given:
            if answer not in ANSWERS[key.mode]:
                raise ValueError(f"{answer!r:.40} is no answer to it")
        count = len(key.trials)
        meant: list[tuple[int, str]] = []
        for place, (trial, answer) in enumerate(given):
            turned = mirrored(count, trial, seed) != (place >= count)
            meant.append((trial, _OTHER.get(answer, answer) if turned else answer))
        return Rater(str(content["rater"])[:60], dict(meant[:count]), dict(meant[count:]))
    except KeyError as error:
        raise UserError("results", path, wanted, f"it has no {error}") from error
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise UserError("results", path, wanted, f"{error}") from error


def figures(key: Key, raters: Sequence[Rater]) -> list[Line]:
    """Rates of first answers, and how much raters agree with each other and with themselves."""
    counted = _fooled(key, raters) if key.mode == "fooled" else _better(key, raters)
    return [*counted, *_agreement(key, raters)]


def _first(raters: Sequence[Rater]) -> list[tuple[int, str]]:
    """(trial, answer) of all raters, without the repeats."""
    return [answered for rater in raters for answered in rater.answers.items()]


def _fooled(key: Key, raters: Sequence[Rater]) -> list[Line]:
    lines = []
    for source, name in reversed(list(enumerate(key.sources))):
        given = [answer for trial, answer in _first(raters) if key.trials[trial][0][0] == source]
        note = "taken for real" if source else "real images taken for real: what can be reached"
        if given:
            lines.append(_line(name, rate(given.count("real"), len(given)), note))
    return lines


def _better(key: Key, raters: Sequence[Rater]) -> list[Line]:
    count = len(key.sources)
    wins = torch.zeros(count, count, dtype=torch.float64)
    ties = torch.zeros(count, count, dtype=torch.int64)
    for trial, answer in _first(raters):
        left, right = (source for source, _ in key.trials[trial])
        if answer == "tie":
            ties[min(left, right), max(left, right)] += 1
        else:
            wins[(left, right) if answer == "left" else (right, left)] += 1
    lines = []
    for a, b in combinations(range(count), 2):
        decided, even = int(wins[a, b] + wins[b, a]), int(ties[a, b])
        note = f"preferred, of those who chose; {even} found them alike"
        if decided:
            lines.append(_line(f"{key.sources[a]} over {key.sources[b]}", rate(int(wins[a, b]), decided), note))
        elif even:
            lines.append(Line(f"{key.sources[a]} over {key.sources[b]}", 0.5, even, note=note))
    if count >= _ENOUGH:
        halves = 0.5 * (ties + ties.T)
        try:
            strengths = bradley_terry(wins + halves).tolist()
        except ValueError:  # few answers
            return lines
        games = (wins + wins.T + 2 * halves).sum(1).tolist()
        note = "Bradley-Terry strength; all sum to 1"
        ranked = sorted(zip(strengths, key.sources, games, strict=True), reverse=True)
        lines += [Line(name, strength, int(n), note=note) for strength, name, n in ranked]
    return lines


def _agreement(key: Key, raters: Sequence[Rater]) -> list[Line]:
    lines = []
    asked = sorted(set.intersection(*(set(rater.answers) for rater in raters))) if len(raters) > 1 else []
    if asked:
        words = ANSWERS[key.mode]
        counts = torch.tensor([[sum(r.answers[t] == word for r in raters) for word in words] for t in asked])
        note = f"Fleiss' kappa of {len(raters)} raters: 1 agreed, 0 chance"
        lines.append(Line("agreement between raters", fleiss_kappa(counts), len(asked), note=note))
    again = [(a, rater.answers[trial]) for rater in raters for trial, a in rater.again.items()]
    if again:
        note = "share of repeated trials that a rater answered alike"
        lines.append(Line("agreement within raters", same(again), len(again), note=note))
    return lines


def _line(name: str, of: Rate, note: str) -> Line:
    return Line(name, of.value, of.n, of.low, of.high, of.p, note)
