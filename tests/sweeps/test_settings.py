"""What users of Hydra's Optuna plugin write: searches in YAML, spaces, directions and samplers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
import pytest
from omegaconf import OmegaConf

from genimg.cli import main as cli
from genimg.common.errors import UserError
from genimg.config import yaml_text as pages
from genimg.config.compose import Composer
from genimg.sweeps.plan import Plan, make_plan, sweep_config
from genimg.sweeps.samplers import make_sampler
from tests.sweeps.conftest import run, search, sweep_folder, table
from tests.sweeps.test_search import study

#: As lightning-hydra-template has it, with keys of this project.
MINE = """\
# @package _global_
# Mine.
defaults:
  - override /hydra/sweeper: optuna
hydra:
  mode: "MULTIRUN"
  sweeper:
    _target_: hydra_plugins.hydra_optuna_sweeper.optuna_sweeper.OptunaSweeper
    storage: null
    study_name: null
    n_jobs: 1
    direction: minimize
    n_trials: 3
    sampler:
      _target_: optuna.samplers.TPESampler
      seed: 1234
      n_startup_trials: 10
    params:
      seed: 3
      model.lr: tag(log, interval(0.01, 0.1))
      data.batch_size: choice(4, 8)
      model: {objective: [hinge, relativistic]}
"""
SPACE = ["-m", "hydra/sweeper=optuna", "model.lr=interval(0.1,1)", "seed=3"]


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A folder of the user with the search `mine`."""
    folder = tmp_path / "own"
    (folder / "hparams_search").mkdir(parents=True)
    (folder / "hparams_search" / "mine.yaml").write_text(MINE)
    return folder


def planned(*words: str, folder: Path | None = None) -> Plan:
    return make_plan(Composer("train", folder), list(words))


def sampler_of(plan: Plan, folder: Path | None = None) -> Any:
    return sweep_config(Composer("train", folder), plan).hydra.sweeper.sampler


@pytest.mark.parametrize("name", pages.groups(None)["hparams_search"])
def test_a_packaged_search_is_a_plan_without_other_words(name: str) -> None:
    plan = planned(f"hparams_search={name}")
    assert plan.sweeper == "optuna"
    assert f"model={name.removesuffix('_optuna')}" in plan.words and "interval(" in " ".join(plan.words)


@pytest.mark.slow
def test_a_search_of_ones_own_runs_without_the_flag(mine: Path, outputs: Path) -> None:
    assert run(["--config-dir", str(mine), "hparams_search=mine"]) == 0
    trials = study(outputs).trials
    assert len(trials) == 3 and {trial.params["model.objective"] for trial in trials} <= {"hinge", "relativistic"}
    assert all(0.01 <= trial.params["model.lr"] <= 0.1 for trial in trials)
    rates = [trial.params["model.lr"] for trial in trials]
    assert [float(row["value"]) for row in table(outputs)] == pytest.approx([4 * rate for rate in rates], rel=1e-4)
    words = table(outputs)[0]["overrides"]
    assert "seed=3" in words and "hparams_search" not in words and "hydra" not in words, "it is a run of its own"
    assert (
        run(["--config-dir", str(mine), "-m", f"sweep.resume={sweep_folder(outputs)}", "hydra.sweeper.n_trials=4"]) == 0
    )
    assert len(study(outputs).trials) == 4


def test_words_win_over_the_file(mine: Path) -> None:
    words = ["hydra.sweeper.n_trials=7", "model.lr=0.5", "hydra.sweeper.params.data.batch_size=choice(2, 3)"]
    plan = planned("hparams_search=mine", *words, folder=mine)
    assert sweep_config(Composer("train", mine), plan).hydra.sweeper.n_trials == 7
    assert [word for word in plan.words if word.startswith(("model.lr", "data.batch_size"))] == [
        "model.lr=0.5",
        "data.batch_size=choice(2, 3)",
    ]


def test_a_file_that_does_not_name_the_sweeper_is_a_search(mine: Path) -> None:
    path = mine / "hparams_search" / "mine.yaml"
    path.write_text(MINE.replace("defaults:\n  - override /hydra/sweeper: optuna\n", ""))
    assert planned("hparams_search=mine", folder=mine).sweeper == "optuna"


def test_a_file_may_choose_the_launcher(mine: Path) -> None:
    path = mine / "hparams_search" / "mine.yaml"
    launcher = "optuna\n  - override /hydra/launcher: joblib\n"
    path.write_text(MINE.replace("optuna\n", launcher, 1).replace("  sweeper:", "  launcher: {n_jobs: 2}\n  sweeper:"))
    plan = planned("hparams_search=mine", folder=mine)
    assert plan.launcher == "joblib" and plan.slots is not None and plan.slots.count == 2


def test_params_are_values_of_a_sweep_over_lists_too() -> None:
    plan = planned("hydra.sweeper.params.seed='1,2'", "+hydra.sweeper.params.model.lr=0.1,0.2")
    assert [job.words for job in plan.jobs] == [[f"seed={s}", f"model.lr={lr}"] for s in (1, 2) for lr in (0.1, 0.2)]


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("n_trials: 3", "n_trial: 3", "did you mean hydra.sweeper.n_trials?"),
        ("n_trials: 3", "n_trials: 0", "1 or more"),
        ("n_trials: 3", "n_trials: {a: 1}", "an integer, 1 or more, not a mapping"),
        ("OptunaSweeper", "AxSweeper", "hydra.sweeper._target_"),
        ("direction: minimize", "direction: maximize", "minimize, or null: the objective is frechet_random"),
        ("direction: minimize", "direction: [minimize, maximize]", "minimize, maximize or null"),
        ("TPESampler", "CmaEsSampler", "optuna.samplers.GPSampler, optuna.samplers.RandomSampler"),
        ("n_startup_trials", "n_startup", "did you mean hydra.sweeper.sampler.n_startup_trials?"),
        ("n_startup_trials: 10", "n_startup_trials: ten", "an integer, 1 or more"),
        ("n_startup_trials: 10", "gamma: os.system", "hydra.sweeper.sampler.gamma"),
        ("n_startup_trials: 10", "group: true\n      multivariate: false", "arguments that fit together"),
        ("interval(0.01, 0.1)", "interval(0.01, 0.1", "key=value in Hydra's grammar"),
        ("[hinge, relativistic]", "[]", "at least one value"),
        ("[hinge, relativistic]", "[hinge, hing]", "model.objective"),
        ("storage: null", 'storage: "${nowhere}"', "a value that resolves"),
        ("hydra:", "model:\n  lr: 0.1\nhydra:", "hydra.sweeper.params.model"),
        ("hydra:", "optimized_metric: val/acc_best\nhydra:", "the metric that selects the best checkpoint"),
        ("  - override /hydra", "  - override /model: vae\n  - override /hydra", "hydra.sweeper.params.model"),
        ("# @package _global_\n", "", "make its first line"),
    ],
)
def test_a_mistake_in_a_search_is_one_message_before_anything_is_written(
    old: str, new: str, told: str, mine: Path, outputs: Path
) -> None:
    path = mine / "hparams_search" / "mine.yaml"
    assert old in MINE
    path.write_text(MINE.replace(old, new, 1))
    with pytest.raises(UserError) as mistake:
        run(["--config-dir", str(mine), "hparams_search=mine"])
    assert told in str(mistake.value) and not outputs.exists()


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_the_direction_of_an_rnn_is_checked_with_its_first_value(direction: str, outputs: Path) -> None:
    words = [*SPACE, "model=rnn", "hydra.sweeper.n_trials=2", f"hydra.sweeper.direction={direction}"]
    if direction == "maximize":  # as the metric of the stand-in, which rises
        assert run(words) == 0
        return
    with pytest.raises(UserError, match="maximize, or null: the objective is frechet_random"):
        run(words)
    assert len(study(outputs).trials) == 1


@pytest.mark.parametrize(
    ("words", "name", "seed"),
    [
        ([], "TPESampler", 0),
        (["hydra.sweeper.sampler=random"], "RandomSampler", 0),
        (["hydra/sweeper/sampler=gp", "hydra.sweeper.seed=4"], "GPSampler", 4),
        (["hydra.sweeper.sampler._target_=optuna.samplers.GPSampler", "hydra.sweeper.sampler.seed=5"], "GPSampler", 5),
        (["hydra.sweeper.sampler={_target_:optuna.samplers.RandomSampler}"], "RandomSampler", 0),
    ],
)
def test_a_sampler_has_a_short_name_and_that_of_its_class(words: list[str], name: str, seed: int) -> None:
    found = sampler_of(planned(*SPACE[1:], *words))
    assert found._target_ == f"optuna.samplers.{name}" and found.seed == seed


def test_the_seed_of_the_sampler_is_the_seed_of_the_search(outputs: Path) -> None:
    seeds = {"a": "seed=7", "b": "sampler.seed=7", "c": "seed=8"}
    drawn = [
        search(*SPACE[1:], f"hydra.sweep.dir={folder}", "hydra.sweeper.n_trials=1", f"hydra.sweeper.{seed}")
        for folder, seed in seeds.items()
    ]
    rates = [one.study.trials[0].params["model.lr"] for one in drawn]
    assert rates[0] == rates[1] != rates[2]


def test_arguments_reach_the_sampler() -> None:
    node = {"_target_": "optuna.samplers.TPESampler", "seed": 1, "n_startup_trials": 3, "prior_weight": None}
    assert make_sampler(node, 2)._n_startup_trials == 3


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["tpe", "gp"])
def test_a_resumed_search_suggests_the_same_values_with_any_sampler(sampler: str, outputs: Path) -> None:
    words = [*SPACE[1:], "data.batch_size=range(4,9)", f"hydra.sweeper.sampler={sampler}"]
    words += ["hydra.sweeper.sampler.n_startup_trials=2"]
    straight = search(*words, "hydra.sweeper.n_trials=4", "hydra.sweep.dir=straight")
    search(*words, "hydra.sweeper.n_trials=3", "hydra.sweep.dir=resumed")
    resumed = search("sweep.resume=resumed", "hydra.sweeper.n_trials=4")
    assert [trial.params for trial in resumed.study.trials] == [trial.params for trial in straight.study.trials]


def test_every_sampler_of_the_package_is_a_class_of_optuna() -> None:
    for name in pages.groups(None)["hydra/sweeper/sampler"]:
        found = sampler_of(planned(*SPACE[1:], f"hydra/sweeper/sampler={name}"))
        assert isinstance(make_sampler(found, 0), optuna.samplers.BaseSampler)


def test_a_search_is_a_sweep_of_the_command_alone() -> None:
    from genimg import train

    with pytest.raises(UserError, match="only a sweep reads this key"):
        train("hparams_search=gan_optuna")


@pytest.mark.slow
def test_a_packaged_search_trains_its_trials_and_shows_them_in_a_database(outputs: Path) -> None:
    words = ["budget.images=64", "data.batch_size=16", "callbacks.frechet_random.num_images=16", "trainer.threads=1"]
    words += ["callbacks.samples.times=1", "callbacks.validation.num_images=16", "trainer.accelerator=cpu"]
    search = ["hparams_search=vae_optuna", "hydra.sweeper.n_trials=2", "hydra.sweeper.storage=sqlite:///study.db"]
    assert cli.run([*search, *words]) == 0
    values = [float(row["value"]) for row in table(outputs)]
    stored = optuna.load_study(study_name=None, storage="sqlite:///study.db")
    assert [trial.value for trial in stored.trials] == values and len(set(values)) == 2
    for row in table(outputs):
        config: Any = OmegaConf.load(sweep_folder(outputs) / row["folder"] / "config.yaml")
        assert config.model.name == "vae" and f"model.lr={config.model.lr}" in row["overrides"].split()
