"""task=rate end to end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from genimg.checkpoints.read import load_checkpoint
from genimg.common.errors import UserError
from genimg.common.run_folder import RunFolder
from genimg.evaluation.rating import study
from genimg.evaluation.subject import load_data
from genimg.tasks import rate
from tests.data.stand_ins import fetched
from tests.trained import run_folder

SHORT = ["budget.images=32", "data.batch_size=16", "model.width=4", "callbacks=none"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("runs")
    words = {"a": ["data.image_size=16"], "b": ["data.image_size=16", "seed=1"], "large": ["data.image_size=24"]}
    return {name: run_folder(folder / name, *own, *SHORT) for name, own in words.items()}


def config(folder: Path, **settings: Any) -> dict[str, Any]:
    return {
        "runs": None, "results": None, "study": str(folder), "trials": 10, "repeats": 0.2, "exposure": None,
        "checkpoint": "last", "seed": 0, "root": None, "device": "cpu", "outputs": "outputs", "trust": [],
    } | settings  # fmt: skip


@pytest.mark.parametrize("names", ["a", "ab"])
def test_a_study_is_created_and_counted(runs: dict[str, Path], names: str, tmp_path: Path) -> None:
    asked = [str(runs[name]) for name in names]
    assert rate.run(config(tmp_path / "study", runs=asked)) == 0
    key = study.read_key(tmp_path / "study" / "key.json")
    assert (len(key.trials), key.repeats) == (10, 2) and key.mode == (
        "real_or_generated" if len(names) == 1 else "preference"
    )
    word = study.ANSWERS[key.mode][0]
    answers = [{"trial": trial, "answer": word, "milliseconds": 9} for trial in study.order(10, 2, seed=5)]
    content = {"format": study.FORMAT, "study": key.study, "rater": "[/b] ann", "seed": 5, "answers": answers}
    (tmp_path / "ann.json").write_text(json.dumps(content))
    assert rate.run(config(tmp_path / "study", results=[str(tmp_path / "ann.json")])) == 0
    assert json.loads((tmp_path / "study" / "ratings.json").read_text())["raters"] == 1


def test_a_study_reads_as_many_test_images_as_it_shows_and_no_training_images(tmp_path: Path) -> None:
    """Loading the data reads training images for the fingerprint; a study adds none."""
    source = ["data.source._target_=tests.data.stand_ins.Recorded", "+data.source.count=200"]
    words = [*source, "+data.source.has_test_split=true", "data.image_size=16", *SHORT]
    run = run_folder(tmp_path / "run", *words)
    fetched.clear()
    load_data(load_checkpoint(RunFolder(run).last), None, ["tests"])
    loaded = sorted(fetched)
    fetched.clear()
    assert rate.run(config(tmp_path / "study", runs=[str(run)], trust=["tests"])) == 0
    assert sorted(number for number in fetched if number < 200) == loaded
    assert sum(number >= 200 for number in fetched) == 5


def test_an_impossible_study_is_refused_and_nothing_is_written(runs: dict[str, Path], tmp_path: Path) -> None:
    a, large = str(runs["a"]), str(runs["large"])
    wrong = {
        "occurs twice": {"runs": [a, a]},
        "one shape": {"runs": [a, large]},
        "at most": {"runs": [a], "trials": 10_000},
    }
    for message, settings in wrong.items():
        with pytest.raises(UserError, match=message):
            rate.run(config(tmp_path / "study", **settings))
    assert not (tmp_path / "study").exists()
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="empty folder"):
        rate.run(config(tmp_path / "file", runs=[a]))
