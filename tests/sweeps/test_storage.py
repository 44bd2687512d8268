"""hydra.sweeper.storage: copies of the trials in a real SQLite file, and in a journal of the user."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest
from optuna.storages.journal import JournalFileBackend, JournalStorage

from genimg.common.errors import UserError
from tests.sweeps.conftest import run, started, sweep_folder, table

URL = "sqlite:///study.db"
SEARCH = ["-m", "hydra/sweeper=optuna", "hydra.sweeper.sampler=random", "model.lr=interval(0.1,1)", "seed=3"]
STORED = [*SEARCH, f"hydra.sweeper.storage={URL}", "hydra.sweeper.study_name=mine"]


def stored(name: str | None = "mine") -> optuna.Study:
    return optuna.load_study(study_name=name, storage=URL)


def values(outputs: Path) -> list[float]:
    return [float(row["value"]) for row in table(outputs)]


def test_the_finished_trials_are_in_the_storage(outputs: Path) -> None:
    assert run([*STORED, "hydra.sweeper.n_trials=3"]) == 0
    study = stored()
    assert study.direction.name == "MINIMIZE" and study.user_attrs["metric"] == "frechet_random"
    assert [trial.value for trial in study.trials] == values(outputs)
    assert [trial.params["model.lr"] * 4 for trial in study.trials] == pytest.approx(values(outputs), rel=1e-4)
    assert all((sweep_folder(outputs) / name).is_dir() for one in study.trials for name in one.user_attrs["runs"])
    assert all(trial.datetime_start and trial.datetime_complete for trial in study.trials)


def test_a_metric_that_rises_is_stored_as_it_is(outputs: Path) -> None:
    assert run([*STORED, "hydra.sweeper.n_trials=2", "model=rnn"]) == 0
    assert stored().direction.name == "MAXIMIZE" and [one.value for one in stored().trials] == values(outputs)
    assert stored().best_value == max(values(outputs))


def test_a_resumed_search_continues_its_study(outputs: Path) -> None:
    assert run([*STORED, "hydra.sweeper.n_trials=2"]) == 0
    resume = ["-m", f"sweep.resume={sweep_folder(outputs)}", "hydra.sweeper.n_trials=3"]
    with pytest.raises(UserError, match=r"sweep with hydra\.sweeper\.storage=sqlite"):
        run(resume)
    assert run([*resume, f"hydra.sweeper.storage={URL}"]) == 0
    assert [trial.value for trial in stored().trials] == values(outputs) and len(values(outputs)) == 3


def test_a_storage_that_is_given_later_has_the_earlier_trials_too(outputs: Path) -> None:
    assert run([*SEARCH, "hydra.sweeper.n_trials=2"]) == 0
    assert run(["-m", f"sweep.resume={sweep_folder(outputs)}", f"hydra.sweeper.storage={URL}"]) == 0
    study = stored(None)  # the only one
    assert study.study_name == "/".join(sweep_folder(outputs).parts[-2:])
    assert [trial.value for trial in study.trials] == values(outputs)


@pytest.mark.slow
def test_the_study_of_another_search_is_not_changed(outputs: Path) -> None:
    assert run([*STORED, "hydra.sweeper.n_trials=1", "outputs=first"]) == 0
    with pytest.raises(UserError, match=r"hydra\.sweeper\.study_name: got mine") as mistake:
        run([*STORED, "hydra.sweeper.n_trials=1"])
    assert str(sweep_folder(Path("first"))) in str(mistake.value) and not outputs.exists()
    assert run([*SEARCH, "hydra.sweeper.n_trials=1"]) == 0
    with pytest.raises(UserError, match="it is that of the search in"):
        run(["-m", f"sweep.resume={sweep_folder(outputs)}", *STORED[5:]])
    optuna.create_study(storage=URL, study_name="theirs")
    with pytest.raises(UserError, match="it is another study"):
        run([*SEARCH, STORED[5], "hydra.sweeper.study_name=theirs", "outputs=third"])
    assert len(stored().trials) == 1 and stored("theirs").trials == []


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("study.db", "sqlite:///study.db"),
        ("sqlite://study.db", "Invalid SQLite URL"),
        ("sqlite:///no/folder/study.db", "unable to open database file"),
        ("sqlite:///text.txt", "file is not a database"),
        ("nosql:///study.db", "nosql"),
        ("mysql+nothing://me:secret@nowhere/db", "mysql+nothing://me:***@nowhere/db"),
        ("redis://me:secret@nowhere/0", "a journal file that ends with .journal or .log"),
        ("no/folder/study.log", "No such file"),
    ],
)
def test_a_wrong_storage_is_one_message_before_anything_is_written(url: str, told: str, outputs: Path) -> None:
    Path("text.txt").write_text("This is text, not a database. " * 99)
    before = list(Path().iterdir())
    with pytest.raises(UserError, match=r"^hydra\.sweeper\.storage: got") as mistake:
        run([*SEARCH, f"hydra.sweeper.storage='{url}'"])
    assert told in str(mistake.value) and "secret" not in str(mistake.value)
    assert list(Path().iterdir()) == before


def test_a_storage_that_fails_costs_its_copies_only(
    outputs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("the server has gone away")

    with monkeypatch.context() as broken:
        broken.setattr(optuna.Study, "add_trial", fail)
        assert run([*STORED, "hydra.sweeper.n_trials=2"]) == 0
    assert "no copy of the last trials: the server has gone away" in capsys.readouterr().err
    assert stored().trials == [] and len(values(outputs)) == 2
    started(outputs)
    assert run(["-m", f"sweep.resume={sweep_folder(outputs)}", STORED[5]]) == 0
    assert started(outputs) == set() and [one.value for one in stored().trials] == values(outputs)


def test_a_journal_is_a_storage(outputs: Path) -> None:
    assert run([*SEARCH, "hydra.sweeper.n_trials=1", "hydra.sweeper.storage=mine.log"]) == 0
    study = optuna.load_study(study_name=None, storage=JournalStorage(JournalFileBackend("mine.log")))
    assert [trial.value for trial in study.trials] == values(outputs)
    with pytest.raises(UserError, match=r"a sweep with hydra\.sweeper\.storage=mine\.log"):  # a file that it writes
        run(["-m", f"sweep.resume={sweep_folder(outputs)}"])


def test_a_trial_that_was_skipped_is_copied_as_failed(outputs: Path) -> None:
    words = ["hydra.sweeper.n_trials=6", "model=gan,rnn", "data=digits,moving_digits", *STORED[4:]]
    assert run([*SEARCH[:3], *words]) == 0
    states = [trial.state.name for trial in stored().trials]
    assert len(states) == 6 and {"COMPLETE", "FAIL"} == set(states)
