"""Correct configurations pass: unusual values, user-defined YAML, printing, torchrun and srun."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from fnmatch import filter as matching
from pathlib import Path
from types import SimpleNamespace

import pytest
from omegaconf import DictConfig, OmegaConf

from genimg.common import hardware
from genimg.common.errors import UserError
from genimg.common.rule import Ends, Flag, Integer, List, Number, Rule, Size, Text, Two
from genimg.common.rules import RULES, takes_names
from genimg.config import yaml_text as pages
from genimg.config.compose import Composer, without_hydra
from genimg.config.hydra_api import flatten
from genimg.launch.session import check
from tests.conftest import Answer


def _checked(*words: str, task: str = "train", config_dir: Path | None = None) -> DictConfig:
    return check(Composer(task, config_dir), list(words))


@pytest.mark.parametrize(
    ("rule", "right", "wrong"),
    [
        (Integer(low=1), [1, 10**9], [0, -1, 1.5, "1", True, None, [1]]),
        (Integer(low=0, high=2, null=True), [0, 2, None], [3]),
        (Number(above=0), [1, 1e-9], [0, -1.0, "1e-4", False, None]),
        (Number(low=0, high=1), [0, 1, 0.5], [1.1, -0.1]),
        (Flag(choices=("auto",)), [True, False, "auto"], ["yes", 1, None]),
        (Text(choices=("1", "3")), [1, 3], [2, True, "rgb", 1.5]),
        (Text(), ["a", 2026], ["", True, None, ["a"]]),
        (Size(low=8, high=256), [8, [8, 256]], [7, [8, 257], [8, 8, 8], [], "64x48", 8.5, True]),
        (Two(low=0), [[0, 0], [1, 0.5]], [0, [0], [1, -1], [1, 2, 3], [1, True], ["1", 2], None]),
        (
            Ends(low=0, high=1, choices=("auto",), null=True),
            [0, 0.5, [0, 1], [1, 0.5], "auto", None],
            [2, -1, [0], [0, 2], [0, 0, 0], [None, 1], ["auto", 1], [True, 1], "cosine", {}],
        ),
        (List(null=True), [[1], [], None], [1, "a"]),
    ],
)
def test_a_rule_accepts_the_right_values_only(rule: Rule, right: list[object], wrong: list[object]) -> None:
    assert [value for value in right if not rule.accepts(value)] == []
    assert [value for value in wrong if rule.accepts(value)] == []


@pytest.mark.slow
def test_every_rule_matches_an_existing_key() -> None:
    """Renaming a key must not leave its rule behind."""
    composers = [Composer(task) for task in pages.tasks(None)]
    known: set[str] = set()
    for composer in composers:
        known |= set(flatten(without_hydra(composer.compose([]))))
        for group in ("model", "model/network", "data", "callbacks", "logger"):
            for choice in composer.choices(group) if composer.task == "train" else []:
                known |= set(flatten(without_hydra(composer.compose([f"{group}={choice}"]))))
    for plugin in ("hydra/launcher=joblib", "hydra/sweeper=optuna"):
        known |= set(flatten(Composer("train").compose([plugin], multirun=True)))
    known |= {f"{key}.mine" for key in known if takes_names(key)}
    assert [pattern for pattern in RULES if not matching(known, pattern)] == []


def test_an_integer_may_be_written_as_a_float() -> None:
    assert _checked("budget.images=1e5").budget.images == 100_000
    assert type(_checked("budget.images=1e5").budget.images) is int


def test_a_number_of_more_than_64_bits_is_a_float() -> None:
    """torch and checkpoints hold no larger integer."""
    config = _checked(
        "model=gan", "model.gradient_penalty=18446744073709551616", "model.gamma=[18446744073709551616,1]"
    )
    assert type(config.model.gradient_penalty) is float
    assert config.model.gradient_penalty == 2.0**64
    assert config.model.gamma == [2.0**64, 1.0]
    assert type(config.model.gamma[0]) is float


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("budget.images", "9223372036854775808"),
        ("model.gradient_penalty", "9" * 400),
        ("+data.mine", "-9223372036854775809"),
        ("+data.mine", "[1,9223372036854775808]"),
    ],
)
def test_an_integer_of_more_than_64_bits_is_refused(key: str, value: str) -> None:
    with pytest.raises(UserError) as refused:
        _checked("model=gan", "data._target_=mine.Data", f"{key}={value}")
    assert refused.value.key == key.lstrip("+")


def test_a_folder_name_may_be_a_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "2024.10").mkdir()
    (tmp_path / "2024.10" / "a.png").touch()
    config = _checked("outputs=5", "data=image_folder", "data.root=2024.10")
    assert (config.outputs, config.data.source.root) == ("5", "2024.10")
    config = check(Composer("sample"), ["out=1e3", "start=[1,b.png]"], on_this_machine=False)
    assert (config.out, config.start) == ("1e3", ["1", "b.png"])


def test_classes_behind_links_count_where_links_are_followed(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.png").touch()
        (tmp_path / "root" / name).symlink_to(tmp_path / name)
    words = ["data=image_folder", f"data.root={tmp_path / 'root'}", "data.follow_links=true", "model.conditional=true"]
    assert _checked(*words).model.num_classes == 2


def test_apple_silicon_has_no_cuda(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "is_dir", lambda _: False)
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(machine="arm64"))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert hardware.count_gpus() == 0


def test_seed_zero_counts_and_sizes_may_be_two() -> None:
    config = _checked("seed=0", "data.image_size=[48,64]", "data.channels=3", "model.lr=1")
    assert config.seed == 0
    assert config.data.image_size == [48, 64]


def test_another_optimizer_takes_other_arguments() -> None:
    words = ["model.optimizer._target_=torch.optim.RMSprop", "~model.optimizer.betas", "+model.optimizer.alpha=0.9"]
    optimizer = _checked("model=vae", *words).model.optimizer
    assert "betas" not in optimizer and optimizer.alpha == 0.9


def test_keys_that_may_be_added_and_removed() -> None:
    own = ("+callbacks.mine._target_=mine.Callback", "+logger.mine._target_=mine.Logger")
    config = _checked("~callbacks.samples", *own)
    assert "samples" not in config.callbacks
    assert config.callbacks.mine._target_ == "mine.Callback"
    optimizer = next(key for key in config.model if "optimizer" in str(key))
    assert _checked(f"+model.{optimizer}.weight_decay=0.1").model[optimizer].weight_decay == 0.1


def test_a_user_defined_class_takes_other_arguments(tmp_path: Path) -> None:
    own = "model.discriminator._target_=mine.Critic"
    critic = _checked(own, "+model.discriminator.slope=0.1", "~model.discriminator.shape").model.discriminator
    assert critic.slope == 0.1 and "shape" not in critic
    with pytest.raises(UserError, match="an existing key"):  # the other network is a packaged class
        _checked(own, "+model.generator.slope=0.1")
    with pytest.raises(UserError, match="an existing key"):  # without + it is a misspelling
        _checked(own, "model.discriminator.slope=0.1")
    (tmp_path / "experiment").mkdir()
    page = "# @package _global_\n# Mine\nmodel:\n  discriminator: {_target_: mine.Critic, slope: 0.1}\n"
    (tmp_path / "experiment" / "mine.yaml").write_text(page)
    assert _checked("experiment=mine", config_dir=tmp_path).model.discriminator.slope == 0.1
    (tmp_path / "experiment" / "mine.yaml").write_text(page.replace("_target_: mine.Critic, ", ""))
    assert _checked("experiment=mine", own, config_dir=tmp_path).model.discriminator.slope == 0.1


def test_a_user_defined_model_has_its_own_keys(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "mine.yaml").write_text(
        "# Mine\n_target_: mine.Model\nlr: 1e-3\nwings: 2\nobjective: fly\nconditional: false\n"
    )
    config = _checked("model=mine", "model.wings=3", "model.objective=swim", config_dir=tmp_path)
    assert (config.model.wings, config.model.objective) == (3, "swim")
    with pytest.raises(UserError, match="an integer") as mistake:
        _checked("model=mine", "model.wings=many", config_dir=tmp_path)
    assert mistake.value.key == "model.wings"
    with pytest.raises(UserError, match="above 0") as mistake:
        _checked("model=mine", "model.lr=-1", config_dir=tmp_path)
    assert mistake.value.default_in == str(tmp_path / "model" / "mine.yaml")


def test_user_defined_yaml_replaces_the_packaged_file(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "digits.yaml").write_text(
        "# Mine\ndefaults: [_shared, _self_]\nname: digits\n"
        "image_size: 20\nchannels: 1\nminutes: 1\nsource: {_target_: genimg.data.digits.Digits}\n"
    )
    assert _checked(config_dir=tmp_path).data.image_size == 20
    assert _checked().data.image_size != 20


def test_an_experiment_is_checked_like_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    page = tmp_path / "experiment" / "mine.yaml"
    page.write_text("# @package _global_\n# A recipe\nmodel:\n  lr: -1.0\n")
    with pytest.raises(UserError) as mistake:
        _checked("experiment=mine", config_dir=tmp_path)
    assert (mistake.value.key, mistake.value.default_in) == ("model.lr", str(page))
    page.write_text("# @package _global_\n# A recipe\nmodel:\n  lr: 0.5\n")
    assert _checked("experiment=mine", config_dir=tmp_path).model.lr == 0.5
    page.write_text("# @package _global_\n# A recipe\nmodel:\n  lrr: 0.5\n")
    with pytest.raises(UserError, match="lrr"):
        _checked("experiment=mine", config_dir=tmp_path)


def test_printing_the_configuration_runs_nothing(command: Callable[..., Answer], tmp_path: Path) -> None:
    answer = command("model=gan", "trainer.devices=4", "--cfg", "job", "--resolve")
    assert answer.code == 0, answer.err
    assert answer.imported == ""
    printed = OmegaConf.create(answer.out)
    assert isinstance(printed, DictConfig)
    assert printed.trainer.devices == 4
    assert printed.budget.minutes == printed.data.minutes
    assert "hydra" not in printed
    assert "${" not in answer.out
    assert list(tmp_path.iterdir()) == []
    assert "${" in command("--cfg", "job").out
    assert "sweeper" in command("--cfg", "hydra").out


STARTED = [
    {"TORCHELASTIC_RUN_ID": "1", "WORLD_SIZE": "4", "RANK": "0", "LOCAL_RANK": "0"},  # by torchrun
    {"SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "0", "SLURM_LOCALID": "0"},  # by srun
]


@pytest.mark.parametrize("environment", STARTED, ids=["torchrun", "srun"])
@pytest.mark.parametrize("wrong", [None, "abc", "-1", "4"])
def test_an_incomplete_launcher_environment_is_one_error(
    environment: dict[str, str], wrong: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    rank = next(name for name in environment if name in ("RANK", "SLURM_PROCID"))
    for name, value in {**environment, rank: wrong}.items():
        if value is not None:
            monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=rank) as mistake:
        _checked("trainer=cpu", "trainer.devices=4")
    assert mistake.value.got == wrong


@pytest.mark.parametrize("environment", STARTED, ids=["torchrun", "srun"])
def test_devices_auto_is_the_number_of_started_processes(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert _checked("trainer=cpu", "trainer.devices=auto").trainer.devices == 4
    assert _checked("trainer=cpu", "trainer.devices=auto", "trainer.num_nodes=2").trainer.devices == 2
    assert _checked("trainer=cpu", "trainer.devices=4").trainer.devices == 4
    with pytest.raises(UserError, match="4 processes") as mistake:
        _checked("trainer=cpu")
    assert mistake.value.key == "trainer.devices" and mistake.value.hint == "trainer.devices=4"


def test_a_deeply_nested_value_is_one_message() -> None:
    with pytest.raises(UserError, match="fewer nested lists"):
        check(Composer("train"), [f"seed={'[' * 900}1{']' * 900}"], on_this_machine=False)
