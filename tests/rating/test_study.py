"""A study hides its answers, and its statistics are those of the answers given."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch

from genimg.errors import UserError
from genimg.rating import results, study
from genimg.rating.study import REAL, Key, Trial

GENERATOR = torch.Generator()


def pictures(letter: str, count: int = 40) -> list[bytes]:
    return [f"{letter}{index}".encode() for index in range(count)]


def make(folder: Path, mode: study.Mode = "fooled", sources: int = 2, repeats: float = 0.2) -> Key:
    names = [REAL, "run-a", "run-b", "run-c"] if mode == "fooled" else ["run-a", "run-b", "run-c"]
    trials = study.plan(mode, sources, 20, repeats, GENERATOR.manual_seed(0))
    shown = [(name, pictures("pqrs"[index]), "image/png") for index, name in enumerate(names[:sources])]
    return study.write(mode, shown, trials, folder=folder, exposure=None)


def saved(path: Path, key: Key, answers: dict[int, str], rater: str = "", **others: Any) -> Path:
    listed = [{"trial": trial, "answer": answer, "milliseconds": 1} for trial, answer in answers.items()]
    content = {"format": 1, "study": key.study, "rater": rater or path.stem, "answers": listed} | others
    path.write_text(json.dumps(content))
    return path


def truth(key: Key) -> dict[int, str]:
    """A rater who knows."""
    return {index: "generated" if trial.shown[0][0] else "real" for index, trial in enumerate(key.trials)}


def test_half_of_the_trials_are_real_and_the_seed_decides_the_order() -> None:
    plans = [study.plan("fooled", 2, 20, 0.0, GENERATOR.manual_seed(seed)) for seed in (0, 0, 1)]
    assert plans[0] == plans[1] != plans[2]
    assert Counter(trial.shown[0][0] for trial in plans[0]) == {0: 10, 1: 10}
    assert len({trial.shown for trial in plans[0]}) == 20


def test_a_key_that_was_damaged_is_refused(tmp_path: Path) -> None:
    make(tmp_path)
    path = tmp_path / "key.json"
    content = json.loads(path.read_text())
    trials = content["trials"]
    for change in (
        {"mode": "other"}, {"format": 9}, {"trials": [{"shown": [[7, 0]], "repeat_of": None}, *trials]},
        {"trials": [{"shown": [[0, 0], [1, 0]], "repeat_of": None}]}, {"trials": [{"shown": [[0, 0]], "repeat_of": 5}]},
    ):  # fmt: skip
        path.write_text(json.dumps(content | change))
        with pytest.raises(ValueError, match=r"of it|no key"):
            study.read_key(path)


def test_every_pair_meets_as_often_and_sides_are_drawn() -> None:
    trials = study.plan("better", 3, 300, 0.0, GENERATOR.manual_seed(0))
    pairs = Counter(frozenset(source for source, _ in trial.shown) for trial in trials)
    assert set(pairs.values()) == {100}
    on_the_left = sum(trial.shown[0][0] < trial.shown[1][0] for trial in trials)
    assert 110 < on_the_left < 190
    assert [study.needed(trials, source) for source in range(3)] == [200] * 3  # none is drawn in vain
    assert len({one for trial in trials for one in trial.shown}) == 600


def test_repeats_come_later_and_the_other_way_round() -> None:
    trials = study.plan("better", 2, 20, 0.2, GENERATOR.manual_seed(0))
    repeats = [(index, trial) for index, trial in enumerate(trials) if trial.repeat_of is not None]
    assert len(trials) == 24 and len(repeats) == 4
    for index, trial in repeats:
        assert trial.repeat_of is not None and trial.repeat_of < 10 < 20 <= index
        assert trial.shown == trials[trial.repeat_of].shown[::-1]


@pytest.mark.parametrize("mode", ["fooled", "better"])
def test_the_page_holds_no_answer(tmp_path: Path, mode: study.Mode) -> None:
    key = make(tmp_path, mode)
    page = (tmp_path / "rate.html").read_text()
    assert not [told for told in ("run-a", "run-b", REAL, "http") if told in page]
    data = json.loads(page.partition('id="study">')[2].partition("</script>")[0])
    assert data.keys() == {"format", "study", "mode", "exposure", "trials"}
    assert all(uri.startswith("data:image/png;base64,") for trial in data["trials"] for uri in trial)
    assert [len(trial) for trial in data["trials"]] == [len(trial.shown) for trial in key.trials]
    assert study.read_key(tmp_path / "key.json") == key


def test_rates_are_those_of_the_first_answers(tmp_path: Path) -> None:
    key = make(tmp_path)
    knowing = truth(key)
    fooled = [t for t, trial in enumerate(key.trials) if trial.repeat_of is None and trial.shown[0][0] == 1][:3]
    told = knowing | dict.fromkeys(fooled, "real")
    lines = {
        line.name: line for line in results.figures(key, results.read([saved(tmp_path / "a.json", key, told)], key))
    }
    assert (lines["run-a"].value, lines["run-a"].n) == (0.3, 10)
    assert lines[REAL].value == 1.0
    repeated = [(t, trial.repeat_of) for t, trial in enumerate(key.trials) if trial.repeat_of is not None]
    alike = sum(told[t] == told[first] for t, first in repeated)
    assert lines["agreement within raters"].value == alike / len(repeated)


def test_preferences_follow_the_sides(tmp_path: Path) -> None:
    key = make(tmp_path, "better", sources=3)

    def best_first(trial: Trial) -> str:
        return "left" if trial.shown[0][0] < trial.shown[1][0] else "right"

    told = {index: best_first(trial) for index, trial in enumerate(key.trials)}
    files = [saved(tmp_path / f"{name}.json", key, told) for name in "ab"]
    lines = results.figures(key, results.read(files, key))
    over = {line.name: line.value for line in lines if " over " in line.name}
    assert over == {"run-a over run-b": 1.0, "run-a over run-c": 1.0, "run-b over run-c": 1.0}
    assert [line.name for line in lines if "Bradley" in line.note] == ["run-a", "run-b", "run-c"]
    agreement = {line.name: line.value for line in lines if line.name.startswith("agreement")}
    assert agreement == {"agreement between raters": 1.0, "agreement within raters": 1.0}


def test_ties_are_counted_apart(tmp_path: Path) -> None:
    key = make(tmp_path, "better")
    told = dict.fromkeys(range(len(key.trials)), "tie")
    lines = results.figures(key, results.read([saved(tmp_path / "a.json", key, told)], key))
    assert [line for line in lines if "Bradley" in line.note] == []
    assert lines[0].value == 0.5 and "20 found them alike" in lines[0].note


def test_files_that_are_not_answers_to_this_study_are_refused(tmp_path: Path) -> None:
    key = make(tmp_path)
    good = saved(tmp_path / "good.json", key, {0: "real"})
    wrong = {
        "it is of study": saved(tmp_path / "other.json", key, {}, study="0" * 16),
        "not of the study": saved(tmp_path / "far.json", key, {99: "real"}),
        "no answer": saved(tmp_path / "word.json", key, {0: "left"}),
        "format": saved(tmp_path / "format.json", key, {}, format=2),
        "one file a rater": saved(tmp_path / "twice.json", key, {}, rater="good"),
    }
    (tmp_path / "list.json").write_text("[]")
    for message, path in wrong.items():
        with pytest.raises(UserError, match=message):
            results.read([good, path], key)
    with pytest.raises(UserError, match=r"rate\.html"):
        results.read([tmp_path / "list.json"], key)
