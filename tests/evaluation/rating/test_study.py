"""A study does not reveal the sources of its images, and its statistics follow from the answers."""

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


def make(folder: Path, mode: study.Mode = "real_or_generated", sources: int = 2, repeats: int = 4) -> Key:
    names = [REAL, "run-a", "run-b", "run-c"] if mode == "real_or_generated" else ["run-a", "run-b", "run-c"]
    trials = study.plan_trials(mode, sources, 20, GENERATOR.manual_seed(0))
    shown = [(name, images("pqrs"[index]), "image/png") for index, name in enumerate(names[:sources])]
    return study.write_study(mode, shown, trials, repeats=repeats, folder=folder, exposure=None)


def saved(path: Path, key: Key, answers: Sequence[str], again: Sequence[str] = (), of: int = 0, **others: Any) -> Path:
    """Writes the file of the rater with seed `of`.

    answers: to each trial, left and right as in the key; again: to the repeated trials, in their order.
    """
    count, other = len(key.trials), {"left": "right", "right": "left"}
    order = study.order(count, key.repeats, of)
    words = [answers[trial] for trial in order[: len(answers)]] + list(again)
    listed = []
    for place, (trial, word) in enumerate(zip(order, words, strict=False)):
        swapped = study.mirrored(count, trial, of) != (place >= count)
        listed.append({"trial": trial, "answer": other.get(word, word) if swapped else word, "milliseconds": 1})
    content = {"format": 3, "study": key.study, "rater": path.stem, "seed": of, "answers": listed} | others
    path.write_text(json.dumps(content))
    return path


def correct_answers(key: Key) -> list[str]:
    """The answers of a rater who knows the sources."""
    return ["generated" if trial[0][0] else "real" for trial in key.trials]


def test_half_of_the_trials_are_real_and_the_seed_determines_the_order() -> None:
    plans = [study.plan_trials("real_or_generated", 2, 20, GENERATOR.manual_seed(seed)) for seed in (0, 0, 1)]
    assert plans[0] == plans[1] != plans[2]
    assert Counter(trial[0][0] for trial in plans[0]) == {0: 10, 1: 10}
    assert len(set(plans[0])) == 20


def test_a_damaged_key_is_refused(tmp_path: Path) -> None:
    make(tmp_path)
    path = tmp_path / "key.json"
    content = json.loads(path.read_text())
    trials = content["trials"]
    for change in (
        {"mode": "other"}, {"format": 9}, {"trials": [[[7, 0]], *trials]}, {"trials": [[[0, 0], [1, 0]]]},
        {"repeats": 11}, {"repeats": None},
    ):  # fmt: skip
        path.write_text(json.dumps(content | change))
        with pytest.raises(ValueError, match=r"of the key|the key repeats|not a key"):
            study.read_key(path)


def test_all_pairs_are_equally_frequent_on_random_sides() -> None:
    trials = study.plan_trials("preference", 3, 300, GENERATOR.manual_seed(0))
    pairs = Counter(frozenset(source for source, _ in trial) for trial in trials)
    assert set(pairs.values()) == {100}
    on_the_left = sum(trial[0][0] < trial[1][0] for trial in trials)
    assert 110 < on_the_left < 190
    assert [study.images_needed(trials, source) for source in range(3)] == [200] * 3  # every image is used
    assert len({one for trial in trials for one in trial}) == 600


def test_a_rater_sees_every_trial_and_repeats_half_a_study_later() -> None:
    for seed in (0, 1, 2**32 - 1):
        order = study.order(20, 4, seed)
        first, again = order[:20], order[20:]
        assert sorted(first) == list(range(20)) and len(set(again)) == 4
        assert all(first.index(trial) < 10 for trial in again)
    assert study.order(20, 0, 5) == study.order(20, 4, 5)[:20]


def test_over_raters_a_trial_is_equally_frequent_at_every_position() -> None:
    raters, count = 4000, 10
    seeds = torch.randint(2**32, (raters,), generator=GENERATOR.manual_seed(0)).tolist()
    orders = [study.order(count, 2, seed) for seed in seeds]
    # a share of 1/10 of 4000 has a standard deviation of 19: the limit is five of them
    times = Counter((trial, moment) for order in orders for moment, trial in enumerate(order[:count]))
    assert len(times) == count**2 and max(abs(number - raters / count) for number in times.values()) < 95
    following = Counter(pair for order in orders for pair in pairwise(order[:count]))
    assert len(following) == 90 and max(abs(number - raters / 10) for number in following.values()) < 95
    again = Counter(trial for order in orders for trial in order[count:])
    assert max(abs(number - raters / 5) for number in again.values()) < 127


def test_over_raters_half_of_the_pairs_are_swapped_independently() -> None:
    raters, count = 4000, 10
    seeds = torch.randint(2**32, (raters,), generator=GENERATOR.manual_seed(1)).tolist()
    turned = torch.tensor([[study.mirrored(count, trial, seed) for trial in range(count)] for seed in seeds])
    moments = torch.tensor([study.order(count, 0, seed) for seed in seeds]).argsort(1)
    signs = 2.0 * turned - 1
    # a mean of 4000 signs has a standard deviation of 0.016: the limit is five of them
    assert signs.mean(0).abs().max() < 0.08
    assert (signs.T @ signs / raters - torch.eye(count)).abs().max() < 0.08
    assert (signs * (moments - 4.5) / 2.87).mean(0).abs().max() < 0.08


def test_raters_who_always_choose_left_prefer_no_run(tmp_path: Path) -> None:
    """The sides of a pair are random for each rater, so a preference for a side cancels out."""
    key = make(tmp_path, "preference")
    files = []
    for seed in range(60):
        answers = ["right" if study.mirrored(20, trial, seed) else "left" for trial in range(20)]
        files.append(saved(tmp_path / f"{seed}.json", key, answers, of=seed))
    words = {one["answer"] for file in files for one in json.loads(file.read_text())["answers"]}
    raters = results.read_raters(files, key)
    assert words == {"left"}
    # the mean of 1200 coin tosses has a standard deviation of 0.0144, of the 60 of a trial 0.065
    assert results.statistics(key, raters)[0].value == pytest.approx(0.5, abs=0.06)
    shares = [sum(rater.answers[trial] == "left" for rater in raters) / 60 for trial in range(20)]
    assert min(shares) > 0.2 and max(shares) < 0.8


@pytest.mark.parametrize("mode", ["real_or_generated", "preference"])
def test_the_page_does_not_reveal_the_sources(tmp_path: Path, mode: study.Mode) -> None:
    key = make(tmp_path, mode)
    page = (tmp_path / "rate.html").read_text()
    assert not [text for text in ("run-a", "run-b", REAL, "http") if text in page]
    data = json.loads(page.partition('id="study">')[2].partition("</script>")[0])
    assert data.keys() == {"format", "study", "mode", "exposure", "repeats", "trials"}
    assert all(uri.startswith("data:image/png;base64,") for trial in data["trials"] for uri in trial)
    assert [len(trial) for trial in data["trials"]] == [len(trial) for trial in key.trials]
    assert study.read_key(tmp_path / "key.json") == key


def test_proportions_are_of_the_first_answers(tmp_path: Path) -> None:
    key = make(tmp_path)
    answers = correct_answers(key)
    for trial in [index for index, word in enumerate(answers) if word == "generated"][:3]:
        answers[trial] = "real"
    repeated = study.order(20, 4, 7)[20:]
    other = {"real": "generated", "generated": "real"}
    again = [answers[repeated[0]], *(other[answers[trial]] for trial in repeated[1:])]
    read = results.read_raters([saved(tmp_path / "a.json", key, answers, again, of=7)], key)
    lines = {line.name: line for line in results.statistics(key, read)}
    assert (lines["run-a"].value, lines["run-a"].n) == (0.3, 10)
    assert lines[REAL].value == 1.0
    assert (lines["agreement within raters"].value, lines["agreement within raters"].n) == (0.25, 4)


def test_preferences_follow_the_sides(tmp_path: Path) -> None:
    key = make(tmp_path, "preference", sources=3)

    def best_first(trial: Trial) -> str:
        return "left" if trial[0][0] < trial[1][0] else "right"

    answers = [best_first(trial) for trial in key.trials]
    files = [
        saved(tmp_path / f"{name}.json", key, answers, [answers[t] for t in study.order(20, 4, seed)[20:]], seed)
        for seed, name in enumerate("ab")
    ]
    lines = results.statistics(key, results.read_raters(files, key))
    over = {line.name: line.value for line in lines if " over " in line.name}
    assert over == {"run-a over run-b": 1.0, "run-a over run-c": 1.0, "run-b over run-c": 1.0}
    assert [line.name for line in lines if "Bradley" in line.note] == ["run-a", "run-b", "run-c"]
    agreement = {line.name: line.value for line in lines if line.name.startswith("agreement")}
    assert agreement == {"agreement between raters": 1.0, "agreement within raters": 1.0}


def test_ties_are_counted_separately(tmp_path: Path) -> None:
    key = make(tmp_path, "preference")
    answers = ["tie"] * 20
    lines = results.statistics(key, results.read_raters([saved(tmp_path / "a.json", key, answers)], key))
    assert [line for line in lines if "Bradley" in line.note] == []
    assert lines[0].value == 0.5 and "20 ties" in lines[0].note


def test_files_that_do_not_belong_to_the_study_are_refused(tmp_path: Path) -> None:
    key = make(tmp_path)
    good = saved(tmp_path / "good.json", key, correct_answers(key))
    wrong = {
        "it is of study": saved(tmp_path / "other.json", key, [], study="0" * 16),
        "not in the order": saved(tmp_path / "order.json", key, correct_answers(key), of=1, seed=2),
        "is not a seed": saved(tmp_path / "seed.json", key, [], seed="1"),
        "is not an answer": saved(tmp_path / "word.json", key, ["left"] * 20),
        "format": saved(tmp_path / "format.json", key, [], format=1),
        "one file per rater": saved(tmp_path / "twice.json", key, [], rater="good"),
    }
    (tmp_path / "list.json").write_text("[]")
    for message, path in wrong.items():
        with pytest.raises(UserError, match=message):
            results.read_raters([good, path], key)
    with pytest.raises(UserError, match=r"rate\.html"):
        results.read_raters([tmp_path / "list.json"], key)
