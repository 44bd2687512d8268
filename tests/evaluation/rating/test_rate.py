"""task=rate end to end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import pytest

from genimg.common.errors import UserError
from genimg.data.module import GenerativeData
from genimg.evaluation.rating import study
from genimg.tasks import rate
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


def test_a_study_reads_no_training_images(
    runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[tuple[str, int]] = []
    spread = GenerativeData.evenly_spaced

    def noted(data: GenerativeData, split: Literal["train", "test"], most: int) -> Any:
        read.append((split, most))
        return spread(data, split, most)

    monkeypatch.setattr(GenerativeData, "evenly_spaced", noted)
    assert rate.run(config(tmp_path / "study", runs=[str(runs["a"])])) == 0
    assert read == [("test", 5)]


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
