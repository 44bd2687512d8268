"""A study hides its answers, and its statistics are those of the answers given."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from genimg.common.errors import UserError
from genimg.evaluation.rating import results, study
from genimg.evaluation.rating.study import REAL, Key, Trial

GENERATOR = torch.Generator()


def images(letter: str, count: int = 40) -> list[bytes]:
    return [f"{letter}{index}".encode() for index in range(count)]


def make(folder: Path, mode: study.Mode = "fooled", sources: int = 2, repeats: int = 4) -> Key:
    names = [REAL, "run-a", "run-b", "run-c"] if mode == "fooled" else ["run-a", "run-b", "run-c"]
    trials = study.plan(mode, sources, 20, GENERATOR.manual_seed(0))
    shown = [(name, images("pqrs"[index]), "image/png") for index, name in enumerate(names[:sources])]
    return study.write(mode, shown, trials, repeats=repeats, folder=folder, exposure=None)


def saved(path: Path, key: Key, told: Sequence[str], again: Sequence[str] = (), of: int = 0, **others: Any) -> Path:
    """The file of the rater with seed `of`.

    told: the answer to each trial, left and right as in the key; again: to the repeats, as they come.
    """
    count, other = len(key.trials), {"left": "right", "right": "left"}
    order = study.order(count, key.repeats, of)
    words = [told[trial] for trial in order[: len(told)]] + list(again)
    listed = []
    for place, (trial, word) in enumerate(zip(order, words, strict=False)):
        turned = study.mirrored(count, trial, of) != (place >= count)  # what the rater saw on the left
        listed.append({"trial": trial, "answer": other.get(word, word) if turned else word, "milliseconds": 1})
    content = {"format": 3, "study": key.study, "rater": path.stem, "seed": of, "answers": listed} | others
    path.write_text(json.dumps(content))
    return path


def truth(key: Key) -> list[str]:
    """A rater who knows."""
    return ["generated" if trial[0][0] else "real" for trial in key.trials]


def test_half_of_the_trials_are_real_and_the_seed_decides_the_order() -> None:
    plans = [study.plan("fooled", 2, 20, GENERATOR.manual_seed(seed)) for seed in (0, 0, 1)]
    assert plans[0] == plans[1] != plans[2]
    assert Counter(trial[0][0] for trial in plans[0]) == {0: 10, 1: 10}
    assert len(set(plans[0])) == 20


def test_a_key_that_was_damaged_is_refused(tmp_path: Path) -> None:
    make(tmp_path)
    path = tmp_path / "key.json"
    content = json.loads(path.read_text())
    trials = content["trials"]
    for change in (
        {"mode": "other"}, {"format": 9}, {"trials": [[[7, 0]], *trials]}, {"trials": [[[0, 0], [1, 0]]]},
        {"repeats": 11}, {"repeats": None},
    ):  # fmt: skip
        path.write_text(json.dumps(content | change))
        with pytest.raises(ValueError, match=r"of it|no key"):
            study.read_key(path)


def test_every_pair_meets_as_often_and_sides_are_drawn() -> None:
    trials = study.plan("better", 3, 300, GENERATOR.manual_seed(0))
    pairs = Counter(frozenset(source for source, _ in trial) for trial in trials)
    assert set(pairs.values()) == {100}
    on_the_left = sum(trial[0][0] < trial[1][0] for trial in trials)
    assert 110 < on_the_left < 190
    assert [study.needed(trials, source) for source in range(3)] == [200] * 3  # none is drawn in vain
    assert len({one for trial in trials for one in trial}) == 600


def test_a_rater_sees_every_trial_and_the_repeats_half_a_study_later() -> None:
    for seed in (0, 1, 2**32 - 1):
        order = study.order(20, 4, seed)
        first, again = order[:20], order[20:]
        assert sorted(first) == list(range(20)) and len(set(again)) == 4
        assert all(first.index(trial) < 10 for trial in again)
    assert study.order(20, 0, 5) == study.order(20, 4, 5)[:20]


def test_over_raters_a_trial_comes_at_every_moment_as_often() -> None:
    raters, count = 4000, 10
    seeds = torch.randint(2**32, (raters,), generator=GENERATOR.manual_seed(0)).tolist()
    orders = [study.order(count, 2, seed) for seed in seeds]
    # a share of 1/10 of 4000 has a standard deviation of 19: none of 100 is five of them off
    times = Counter((trial, moment) for order in orders for moment, trial in enumerate(order[:count]))
    assert len(times) == count**2 and max(abs(number - raters / count) for number in times.values()) < 95
    following = Counter(pair for order in orders for pair in pairwise(order[:count]))
    assert len(following) == 90 and max(abs(number - raters / 10) for number in following.values()) < 95
    again = Counter(trial for order in orders for trial in order[count:])
    assert max(abs(number - raters / 5) for number in again.values()) < 127


def test_over_raters_a_pair_is_turned_as_often_as_not_whatever_the_others_and_its_moment() -> None:
    raters, count = 4000, 10
    seeds = torch.randint(2**32, (raters,), generator=GENERATOR.manual_seed(1)).tolist()
    turned = torch.tensor([[study.mirrored(count, trial, seed) for trial in range(count)] for seed in seeds])
    moments = torch.tensor([study.order(count, 0, seed) for seed in seeds]).argsort(1)
    signs = 2.0 * turned - 1
    # a mean of 4000 signs has a standard deviation of 0.016: none is five of them off
    assert signs.mean(0).abs().max() < 0.08
    assert (signs.T @ signs / raters - torch.eye(count)).abs().max() < 0.08
    assert (signs * (moments - 4.5) / 2.87).mean(0).abs().max() < 0.08


def test_a_rater_who_always_says_left_prefers_no_run(tmp_path: Path) -> None:
    """The habit of a hand is nobody's win: with sides of each rater's own it is a coin's throw in every pair."""
    key = make(tmp_path, "better")
    files = []
    for seed in range(60):
        told = ["right" if study.mirrored(20, trial, seed) else "left" for trial in range(20)]
        files.append(saved(tmp_path / f"{seed}.json", key, told, of=seed))
    words = {one["answer"] for file in files for one in json.loads(file.read_text())["answers"]}
    raters = results.read(files, key)
    assert words == {"left"}
    # 1200 throws of a coin have a standard deviation of 0.0144; of each trial's 60 of 0.065
    assert results.figures(key, raters)[0].value == pytest.approx(0.5, abs=0.06)
    shares = [sum(rater.answers[trial] == "left" for rater in raters) / 60 for trial in range(20)]
    assert min(shares) > 0.2 and max(shares) < 0.8


@pytest.mark.parametrize("mode", ["fooled", "better"])
def test_the_page_holds_no_answer(tmp_path: Path, mode: study.Mode) -> None:
    key = make(tmp_path, mode)
    page = (tmp_path / "rate.html").read_text()
    assert not [told for told in ("run-a", "run-b", REAL, "http") if told in page]
    data = json.loads(page.partition('id="study">')[2].partition("</script>")[0])
    assert data.keys() == {"format", "study", "mode", "exposure", "repeats", "trials"}
    assert all(uri.startswith("data:image/png;base64,") for trial in data["trials"] for uri in trial)
    assert [len(trial) for trial in data["trials"]] == [len(trial) for trial in key.trials]
    assert study.read_key(tmp_path / "key.json") == key


def test_rates_are_those_of_the_first_answers(tmp_path: Path) -> None:
    key = make(tmp_path)
    told = truth(key)
    for trial in [index for index, word in enumerate(told) if word == "generated"][:3]:
        told[trial] = "real"
    repeated = study.order(20, 4, 7)[20:]
    other = {"real": "generated", "generated": "real"}
    again = [told[repeated[0]], *(other[told[trial]] for trial in repeated[1:])]
    read = results.read([saved(tmp_path / "a.json", key, told, again, of=7)], key)
    lines = {line.name: line for line in results.figures(key, read)}
    assert (lines["run-a"].value, lines["run-a"].n) == (0.3, 10)
    assert lines[REAL].value == 1.0
    assert (lines["agreement within raters"].value, lines["agreement within raters"].n) == (0.25, 4)


def test_preferences_follow_the_sides(tmp_path: Path) -> None:
    key = make(tmp_path, "better", sources=3)

    def best_first(trial: Trial) -> str:
        return "left" if trial[0][0] < trial[1][0] else "right"

    told = [best_first(trial) for trial in key.trials]
    files = [
        saved(tmp_path / f"{name}.json", key, told, [told[t] for t in study.order(20, 4, seed)[20:]], seed)
        for seed, name in enumerate("ab")
    ]
    lines = results.figures(key, results.read(files, key))
    over = {line.name: line.value for line in lines if " over " in line.name}
    assert over == {"run-a over run-b": 1.0, "run-a over run-c": 1.0, "run-b over run-c": 1.0}
    assert [line.name for line in lines if "Bradley" in line.note] == ["run-a", "run-b", "run-c"]
    agreement = {line.name: line.value for line in lines if line.name.startswith("agreement")}
    assert agreement == {"agreement between raters": 1.0, "agreement within raters": 1.0}


def test_ties_are_counted_apart(tmp_path: Path) -> None:
    key = make(tmp_path, "better")
    told = ["tie"] * 20
    lines = results.figures(key, results.read([saved(tmp_path / "a.json", key, told)], key))
    assert [line for line in lines if "Bradley" in line.note] == []
    assert lines[0].value == 0.5 and "20 found them alike" in lines[0].note


def test_files_that_are_not_answers_to_this_study_are_refused(tmp_path: Path) -> None:
    key = make(tmp_path)
    good = saved(tmp_path / "good.json", key, truth(key))
    wrong = {
        "it is of study": saved(tmp_path / "other.json", key, [], study="0" * 16),
        "not in the order": saved(tmp_path / "order.json", key, truth(key), of=1, seed=2),
        "no seed": saved(tmp_path / "seed.json", key, [], seed="1"),
        "no answer": saved(tmp_path / "word.json", key, ["left"] * 20),
        "format": saved(tmp_path / "format.json", key, [], format=1),
        "one file a rater": saved(tmp_path / "twice.json", key, [], rater="good"),
    }
    (tmp_path / "list.json").write_text("[]")
    for message, path in wrong.items():
        with pytest.raises(UserError, match=message):
            results.read([good, path], key)
    with pytest.raises(UserError, match=r"rate\.html"):
        results.read([tmp_path / "list.json"], key)
