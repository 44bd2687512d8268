"""hydra/sweeper=optuna: the values of trials, seeds, resuming and pruning."""

from __future__ import annotations

import shutil
import statistics
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import optuna
import pytest
from omegaconf import OmegaConf
from optuna.storages.journal import JournalFileBackend, JournalStorage

from genimg.checkpoints.read import load_checkpoint
from genimg.common.build import Builder
from genimg.common.errors import UserError
from genimg.common.run_folder import RunFolder
from genimg.config.compose import Composer
from genimg.sweeps.plan import make_plan, sweep_config
from genimg.sweeps.search import Search
from genimg.training import fit as train
from genimg.training.callbacks.clock import Budget, Clock
from genimg.training.callbacks.pruning import Pruning
from tests.sweeps.conftest import run, search, started, sweep_folder, table
from tests.training.test_fit import config

SEARCH = ["-m", "hydra/sweeper=optuna", "hydra.sweeper.sampler=random"]


def study(outputs: Path) -> optuna.Study:
    storage = JournalStorage(JournalFileBackend(str(sweep_folder(outputs) / "optuna.journal")))
    return optuna.load_study(study_name=None, storage=storage)


def trial_values(outputs: Path) -> list[float | None]:
    return [trial.value for trial in study(outputs).trials]


def test_the_value_of_a_trial_is_the_metric_of_its_run(outputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["hydra.sweeper.n_trials=5", "model.lr=tag(log,interval(1e-4,1))", "data.batch_size=range(4,9,4)"]
    assert run([*SEARCH, *words, "seed=3"]) == 0
    values = [float(row["value"]) for row in table(outputs)]
    assert trial_values(outputs) == values
    rates = [trial.params["model.lr"] for trial in study(outputs).trials]
    assert values == pytest.approx([4 * rate for rate in rates], rel=1e-4), "as the stand-in computes it"
    assert all(1e-4 <= rate <= 1 for rate in rates) and len(set(rates)) == 5
    assert {trial.params["data.batch_size"] for trial in study(outputs).trials} <= {4, 8}
    assert f"frechet_random {min(values):.4g}" in capsys.readouterr().out


def test_no_trial_is_best_if_their_metrics_are_not_comparable(
    outputs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [
        "hydra.sweeper.n_trials=3",
        "model.lr=interval(0.1,1)",
        "callbacks.frechet_random.num_images=range(500,502)",
    ]
    assert run([*SEARCH, *words, "hydra.sweeper.seed=1"]) == 0
    printed = capsys.readouterr().out
    assert {row["n"] for row in table(outputs)} == {"500", "501"}
    assert "are comparable only" in printed and "best of" not in printed


@pytest.mark.parametrize(("numbers", "alike"), [((500, 500), False), ((500, 501), True)])
def test_metrics_that_are_not_comparable_do_not_influence_the_search(
    outputs: Path, capsys: pytest.CaptureFixture[str], numbers: tuple[int, int], alike: bool
) -> None:
    """TPE uses the values of earlier trials from the eleventh on."""
    drawn = [twelfth(outputs / sampler, sampler, numbers) for sampler in ("tpe", "random")]
    assert (drawn[0] == drawn[1]) is alike
    assert capsys.readouterr().err.count("trial 11 is drawn at random: the metrics before it are not") == alike


def twelfth(folder: Path, sampler: str, numbers: tuple[int, int]) -> float:
    """The learning rate of the twelfth trial, whose predecessors were measured on these numbers of images in turn."""
    settings = [f"hydra.sweeper.{setting}" for setting in ("n_trials=12", f"sampler={sampler}")]
    words = ["hydra/sweeper=optuna", *settings, f"hydra.sweep.dir={folder}", "model.lr=interval(0.1,1)"]
    return search(*words, numbers=numbers).study.trials[11].params["model.lr"]


def test_a_resumed_search_keeps_the_jobs_of_a_trial_without_a_value(outputs: Path) -> None:
    assert run([*SEARCH, "hydra.sweeper.n_trials=2", "model.lr=interval(0.1,1)", "seed=5"]) == 0
    again = resumed_search(outputs)
    assert [trial.state.name for trial in again.study.trials] == ["FAIL", "FAIL"]
    assert [job.name.split("-")[0] for job in again.all_jobs()] == ["0", "1"] and again.best() is None


#: A trial of a conditional model on the folder `images`, which is refused where the folder has no classes.
CONDITIONAL = [
    "hydra.sweeper.n_trials=1", "hydra.sweeper.seed=4", "data=image_folder", "data.root=classes,images",
    "model.conditional=true,false",
]  # fmt: skip


def make_images(*names: str) -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()


def test_a_resumed_search_keeps_a_trial_that_is_now_refused(outputs: Path) -> None:
    make_images("classes/0/a.png", "classes/1/a.png", "images/0/a.png", "images/1/a.png")
    assert run([*SEARCH, *CONDITIONAL]) == 0
    assert study(outputs).trials[0].params == {"data.root": "images", "model.conditional": "True"}
    shutil.rmtree("images")
    make_images("images/a.png")
    again = resumed_search(outputs)
    again.run(lambda jobs: None)
    assert len(again.all_jobs()) == 1 and again.best() is not None


def test_a_refused_trial_has_no_jobs_even_if_the_checks_now_accept_it(
    outputs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The checks can depend on the machine."""
    make_images("classes/0/a.png", "classes/1/a.png", "images/a.png")
    assert run([*SEARCH, *CONDITIONAL]) == 0
    assert "trial 0 is skipped: model.conditional" in capsys.readouterr().err
    shutil.rmtree("images")
    make_images("images/0/a.png", "images/1/a.png")
    assert resumed_search(outputs).all_jobs() == []


def resumed_search(outputs: Path) -> Search:
    composer = Composer("train")
    plan = make_plan(composer, [f"sweep.resume={sweep_folder(outputs)}"])
    return Search(composer, plan, sweep_config(composer, plan).hydra.sweeper)


@pytest.mark.parametrize(
    ("interval", "expected"),
    [("interval(1e-2,1e-3)", r"interval\(0\.001,0\.01\)"), ("tag(log,interval(0,1))", "numbers above 0")],
)
def test_an_impossible_interval_is_refused_before_anything_is_written(
    interval: str, expected: str, outputs: Path
) -> None:
    with pytest.raises(UserError, match=expected) as refused:
        run([*SEARCH, "hydra.sweeper.n_trials=2", f"model.lr={interval}"])
    assert refused.value.key == "model.lr" and not outputs.exists()


def test_a_search_refuses_a_folder_name_of_jobs(outputs: Path) -> None:
    with pytest.raises(UserError, match=r"hydra\.sweep\.subdir\n.*not set; a search names"):
        run([*SEARCH, "hydra.sweep.subdir=all", "model.lr=interval(0.1,1)"])


def test_a_metric_that_rises_is_negated(outputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*SEARCH, "hydra.sweeper.n_trials=3", "model=rnn", "model.lr=interval(0.1,1)"]) == 0
    values = [float(row["value"]) for row in table(outputs)]
    assert trial_values(outputs) == [-value for value in values]
    assert f"frechet_random {max(values):.4g}" in capsys.readouterr().out


def test_the_value_of_a_trial_is_the_mean_over_its_seeds(outputs: Path) -> None:
    Path("repaired").touch()
    assert run([*SEARCH, "hydra.sweeper.n_trials=2", "sweep.seeds=3", "model.lr=interval(0.1,1)"]) == 0
    values = [float(row["value"]) for row in table(outputs)]
    assert trial_values(outputs) == pytest.approx([statistics.mean(values[:3]), statistics.mean(values[3:])])
    assert [row["overrides"].split()[-1] for row in table(outputs)] == ["seed=0", "seed=1", "seed=2"] * 2


def test_a_resumed_search_runs_the_trials_without_a_value(outputs: Path) -> None:
    words = ["hydra.sweeper.n_trials=4", "model.lr=interval(0.1,1)", "seed=1"]  # 1: fails until it is repaired
    assert run([*SEARCH, *words, "sweep.fail_fast=true"]) == 1
    assert [row["state"] for row in table(outputs)] == ["failed"] and trial_values(outputs) == [None]
    first = table(outputs)[0]["overrides"]
    Path("repaired").touch()
    assert started(outputs) == {"0"}
    resume = ["-m", f"sweep.resume={sweep_folder(outputs)}"]
    assert run(resume) == 0
    assert started(outputs) == {"0", "1", "2", "3"} and table(outputs)[0]["overrides"] == first
    assert run([*resume, "hydra.sweeper.n_trials=6"]) == 0
    assert started(outputs) == {"4", "5"}
    values = trial_values(outputs)
    assert len({*values} - {None}) == 6, "none is drawn twice"
    with pytest.raises(UserError, match="the overrides of the sweep"):
        run([*resume, "model.lr=interval(0.1,2)"])


def test_a_journal_cannot_ask_for_more_trials_than_the_search(outputs: Path) -> None:
    """Each unfinished trial would be trained, so the journal must not choose their number."""
    assert run([*SEARCH, "hydra.sweeper.n_trials=1", "model.lr=interval(0.1,1)"]) == 0
    for _ in range(3):
        study(outputs).ask({"model.lr": optuna.distributions.FloatDistribution(0.1, 1.0)})
    resume = ["-m", f"sweep.resume={sweep_folder(outputs)}"]
    with pytest.raises(UserError, match="at most 2") as refused:
        run([*resume, "hydra.sweeper.n_trials=2"])
    assert "3 unfinished trials" in str(refused.value)
    assert run([*resume, "hydra.sweeper.n_trials=3"]) == 0


def test_a_resumed_search_suggests_the_same_values(outputs: Path) -> None:
    words = ["-m", "hydra/sweeper=optuna", "model.lr=interval(0.1,1)", "seed=3"]
    assert run([*words, "hydra.sweeper.n_trials=3", "outputs=straight"]) == 0
    assert run([*words, "hydra.sweeper.n_trials=1"]) == 0
    assert run(["-m", f"sweep.resume={sweep_folder(outputs)}", "hydra.sweeper.n_trials=3"]) == 0
    assert [row["value"] for row in table(outputs)] == [row["value"] for row in table(Path("straight"))]


def test_an_invalid_combination_is_skipped(outputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["hydra.sweeper.n_trials=6", "model=gan,rnn", "data=digits,moving_digits"]
    assert run([*SEARCH, *words]) == 0
    trials = study(outputs).trials
    for trial in trials:
        fits = (trial.params["model"] == "rnn") == (trial.params["data"] == "moving_digits")
        assert trial.state.name == ("COMPLETE" if fits else "FAIL")
    left_out = sum(trial.state.name == "FAIL" for trial in trials)
    assert 0 < left_out < 6 and capsys.readouterr().err.count("is skipped: data") == left_out


def test_a_missing_optuna_is_an_error_that_names_the_extra(outputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(UserError, match=r"pip install .*\[optuna\]"):
        run([*SEARCH, "seed=1,2"])


@pytest.mark.parametrize(("others", "n", "images_seen"), [(0.0, 4, 80), (1e9, 4, 160), (0.0, 500, 160)])
def test_a_trial_worse_than_the_median_of_the_others_is_stopped(
    tmp_path: Path, others: float, n: int, images_seen: int
) -> None:
    """At 50 % of 160 images the quality of a GAN is above 0, what the others have in one case, and below 1e9; that of
    n = 4 images and that of 500 do not compare."""
    journal = str(tmp_path / "optuna.journal")
    search = optuna.create_study(storage=JournalStorage(JournalFileBackend(journal)))
    for _ in range(4):
        earlier = search.ask()
        earlier.set_user_attr("n", n)
        earlier.report(others, 50)
        search.tell(earlier, others)
    node: dict[str, Any] = {"_target_": "genimg.training.callbacks.pruning.Pruning", "journal": journal, "trial": 4}
    search.ask()
    words = config(tmp_path / "run", "budget.images=160", "callbacks.frechet_random.num_images=4")
    words["callbacks"]["pruning"] = node
    assert train.run(words) == 0
    folder = RunFolder(tmp_path / "run")
    assert load_checkpoint(folder.last)["images_seen"] == images_seen
    assert folder.pruned.exists() == (images_seen < 160)
    assert (folder.samples / "final" / "sheet.png").exists() and folder.report.exists(), "it ends as a run does"


def test_rank_zero_decides_for_all_processes_whether_to_prune(tmp_path: Path) -> None:
    """Each for itself would ask at another moment, and one would stop where the others go on."""
    strategy = SimpleNamespace(broadcast=lambda mine: True)
    trainer: Any = SimpleNamespace(is_global_zero=False, should_stop=False, strategy=strategy)
    model: Any = SimpleNamespace(monitor=("frechet_random", "min"))
    metrics = SimpleNamespace(latest={"val_frechet_random": 1.0, "val_frechet_random_n": 16})
    pruning = Pruning(str(tmp_path / "journal"), 0)
    pruning.context = cast(Any, SimpleNamespace(clock=Clock(Budget(160, None), 16), metrics=metrics, model=model))
    pruning.on_train_start(trainer, model)
    pruning.after_step(trainer)
    assert trainer.should_stop
    assert list(tmp_path.iterdir()) == []


def test_a_killed_trial_resumes_from_its_checkpoint_with_its_pruning_callback(outputs: Path) -> None:
    search = [*SEARCH, "hydra.sweeper.n_trials=1", "model.lr=interval(1e-4,1e-2)", "seed=1"]
    assert run(search) == 1
    (job,) = sweep_folder(outputs).glob("0-*")
    (job / "checkpoints").mkdir()
    (job / "checkpoints" / "last.pt").touch()
    Path("repaired").touch()
    assert run(["-m", f"sweep.resume={sweep_folder(outputs)}"]) == 0
    config = OmegaConf.load(job / "config.yaml")
    assert config.resume is not None
    assert config.callbacks.pruning.trial == 0
    plain: Any = OmegaConf.to_container(config)
    Builder(plain["trust"]).build(plain["callbacks"], group="callbacks")
