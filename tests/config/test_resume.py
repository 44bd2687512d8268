"""resume=RUN: the saved configuration, in which only some settings may change."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
from omegaconf import DictConfig, OmegaConf

from genimg.common.differences import differences
from genimg.common.errors import UserError
from genimg.common.run_folder import RunFolder
from genimg.config.compose import Composer, without_hydra
from genimg.launch.session import check


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    """A run with other values than the defaults, and a checkpoint."""
    monkeypatch.chdir(tmp_path)
    found = RunFolder(tmp_path / "outputs/2026-01-01/10-00-00-gan-digits")
    found.checkpoints.mkdir(parents=True)
    found.last.touch()
    config = without_hydra(_checked("model.lr=0.125", "seed=7", "budget.images=1000", "budget.minutes=3"))
    config.run_dir = str(found.path)
    OmegaConf.save(OmegaConf.create(OmegaConf.to_container(config, resolve=True)), found.config)
    return found


def _checked(*words: str) -> DictConfig:
    return check(Composer("train"), list(words))


def test_a_resumed_run_uses_the_saved_configuration(run: RunFolder) -> None:
    config = _checked("resume=last")
    assert (config.model.lr, config.seed, config.budget.images) == (0.125, 7, 1000)
    assert (config.resume, config.run_dir) == (str(run.path), str(run.path))


def test_settings_that_may_change(run: RunFolder) -> None:
    words = ["logger=csv", "trainer.threads=1", "data.workers=3", "~callbacks.samples"]
    config = _checked(f"resume={run.path}", *words)
    assert list(config.logger) == ["csv"]
    assert config.logger.csv.run_dir == str(run.path)
    assert (config.trainer.threads, config.data.workers) == (1, 3)
    assert "samples" not in config.callbacks
    assert config.model.lr == 0.125


def test_a_setting_that_the_saved_configuration_lacks_has_its_default(run: RunFolder) -> None:
    saved = cast(DictConfig, OmegaConf.load(run.config))
    del saved.trainer["deterministic"], saved.health
    OmegaConf.save(saved, run.config)
    config = _checked("resume=last")
    assert config.trainer.deterministic is False and config.health.on_divergence == "stop"
    assert _checked("resume=last", "trainer.deterministic=true").trainer.deterministic is True


OF_THE_COMMAND = {
    "trainer.devices": 2,
    "trainer.num_nodes": 2,
    "trainer.strategy": "deepspeed",
    "trainer.threads": 200,
    "launch.rdzv_endpoint": "203.0.113.1:29400",
    "launch.node_rank": 1,
    "launch.max_restarts": 7,
    "launch.unknown": 1,
    "outputs": "/elsewhere",
    "dry_run": True,
    "allow_changes": True,
    "trust": ["os"],
    "run_dir": "/elsewhere",
}


def test_machines_and_commands_come_from_the_command_line(run: RunFolder) -> None:
    before = _plain(_checked(f"resume={run.path}"))
    for key, value in OF_THE_COMMAND.items():
        if key != "run_dir":  # it says which paths are the run's own
            _rewritten(run, key, value)
    assert _plain(_checked(f"resume={run.path}")) == before
    words = ["trainer.num_nodes=2", "launch.rdzv_endpoint=127.0.0.1:1", "launch.node_rank=1", "launch.max_restarts=3"]
    config = _checked(f"resume={run.path}", *words)
    assert config.trainer.num_nodes == 2
    assert config.launch == {"rdzv_endpoint": "127.0.0.1:1", "node_rank": 1, "max_restarts": 3}


def test_a_choice_in_a_saved_run_starts_no_further_processes(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    run.overrides.write_text("trainer=ddp\n")
    monkeypatch.setattr("genimg.config.check.count_gpus", lambda: 4)
    assert (_checked("resume=last").trainer.devices, _checked("resume=last").trainer.strategy) == (1, "auto")


def test_no_cache_of_a_saved_run_is_used_at_any_depth(run: RunFolder) -> None:
    _rewritten(run, "data.source.cache", "/elsewhere")
    _rewritten(run, "data.source.more", [{"cache": "/elsewhere"}])
    found = _plain(_checked("resume=last"))["data"]["source"]
    assert (found["cache"], found["more"][0]["cache"]) == (False, False)


def test_a_new_budget_replaces_the_saved_one(run: RunFolder) -> None:
    assert run.config.exists()
    assert _checked("resume=last", "budget.images=5e3").budget == {
        "images": 5000,
        "epochs": None,
        "minutes": None,
    }


ELSE = [
    "model=vae", "model.lr=1", "data=mnist", "seed=3", "experiment=null", "+model.x=1", "trainer.precision=32-true",
    "callbacks=none", "callbacks.frechet_random.num_images=9", "health.on_divergence=rollback",
    "~callbacks.prior", "+callbacks.healthy.x=1",
]  # fmt: skip


@pytest.mark.parametrize("word", ELSE)
def test_other_settings_are_refused_by_name(word: str, run: RunFolder) -> None:
    assert run.config.exists()
    with pytest.raises(UserError, match="may change") as mistake:
        _checked("resume=last", word)
    assert mistake.value.key == word.lstrip("+~").split("=")[0]


def test_another_precision_may_be_allowed(run: RunFolder) -> None:
    changed = _checked(f"resume={run.path}", "allow_changes=true", "trainer.precision=32-true")
    assert changed.trainer.precision == "32-true"


def test_the_refusal_names_allow_changes(run: RunFolder) -> None:
    with pytest.raises(UserError, match="allow_changes=true"):
        _checked(f"resume={run.path}", "model.lr=1")
    with pytest.raises(UserError, match="resume=RUN"):
        _checked("allow_changes=true")


def test_a_change_reaches_only_the_keys_that_follow_it(run: RunFolder) -> None:
    _rewritten(run, "model.discriminator_optimizer.lr", 0.25)  # a value of its own
    before = _plain(_checked("resume=last"))
    after = _plain(_checked("resume=last", "allow_changes=true", "model.lr=0.5", "seed=3"))
    changed = [(key, now) for key, _, now in differences(before, after)]
    assert sorted(changed) == [
        ("allow_changes", True),
        ("data.seed", 3),
        ("model.generator_optimizer.lr", 0.5),
        ("model.lr", 0.5),
        ("seed", 3),
    ]
    assert before["model"]["generator_optimizer"]["lr"] == 0.125


def test_a_setting_of_the_machine_reaches_what_follows_it(run: RunFolder) -> None:
    assert _checked(f"resume={run.path}", "trainer.fused=false").model.generator_optimizer.fused is False


@pytest.mark.parametrize("word", ["experiment=fashion_gan", "run_dir=x", "sweep.seeds=2", "~model.lr", "model.zdmi=3"])
def test_some_settings_cannot_be_changed_on_resume(word: str, run: RunFolder) -> None:
    with pytest.raises(UserError):
        _checked(f"resume={run.path}", "allow_changes=true", word)


def test_an_invalid_allow_changes_is_reported_before_the_changes(run: RunFolder) -> None:
    with pytest.raises(UserError, match=r"allow_changes: got maybe\n.*true or false"):
        _checked("resume=last", "allow_changes=maybe", "model.lr=1")


def test_allow_changes_applies_to_one_resume_only(run: RunFolder) -> None:
    _rewritten(run, "allow_changes", True)
    assert _checked("resume=last").allow_changes is False
    with pytest.raises(UserError, match="may change"):
        _checked("resume=last", "model.lr=1")


def test_the_keys_are_those_of_the_model_and_the_data_that_the_run_has(run: RunFolder) -> None:
    config = without_hydra(_checked("model=vae", "data=kmnist", "model.beta=3", "data.image_size=16"))
    OmegaConf.save(OmegaConf.create(OmegaConf.to_container(config, resolve=True)), run.config)
    run.overrides.write_text("model=gan\nmodel=vae\ndata=kmnist\nmodel.beta=3\n")
    config = _plain(_checked("resume=last", "allow_changes=true", "model.kl_warmup=0.5"))
    assert (config["model"]["beta"], config["model"]["kl_warmup"], config["data"]["image_size"]) == (3, 0.5, 16)
    config = _plain(_checked("resume=last", "allow_changes=true", "data=digits"))
    assert (config["data"]["name"], config["model"]["beta"]) == ("digits", 3)
    size = config["data"]["image_size"]
    networks = [config["model"][name]["shape"]["image_size"] for name in ("encoder", "decoder")]
    assert networks == [size, size] and size != 16


def test_changes_need_the_yaml_files_that_the_run_began_with(run: RunFolder, tmp_path: Path) -> None:
    run.overrides.write_text("model=mine\n")
    assert _checked("resume=last")
    with pytest.raises(UserError, match="--config-dir"):
        _checked("resume=last", "allow_changes=true", "model.lr=1")
    (tmp_path / "mine" / "model").mkdir(parents=True)
    (tmp_path / "mine" / "model" / "mine.yaml").write_text("defaults: [gan]\nhidden: ${model.latent_dim}\n")
    _rewritten(run, "model.hidden", 64)
    words = ["resume=last", "allow_changes=true", "model.latent_dim=32"]
    assert check(Composer("train", tmp_path / "mine"), words).model.hidden == 32


def test_lists_of_choices_and_quoted_choices_are_recognised(run: RunFolder) -> None:
    run.overrides.write_text("logger=[csv, tensorboard]\nmodel='vae'\n")
    config = without_hydra(_checked("model=vae"))
    OmegaConf.save(OmegaConf.create(OmegaConf.to_container(config, resolve=True)), run.config)
    assert _checked("resume=last", "allow_changes=true", "model.beta=3").model.beta == 3
    with pytest.raises(UserError, match=r"configs/model/vae\.yaml"):  # which set what it began with, not the default
        _checked("resume=last", "allow_changes=true", "model.lr=abc")


def test_untrusted_overrides_choose_only_existing_files(run: RunFolder) -> None:
    before = _plain(_checked("resume=last"))
    lines = ["model=${oc.env:HOME}", "model=../../evil", "model.lr=${oc.env:HOME}", "=", "\0", "data=[digits]"]
    lines += ["model=vae,rnn", "model={a: vae}", "logger=[csv,../../evil]"]
    for text in ("\n".join(lines), "model=vae\n" * 2**16):
        run.overrides.write_text(text)
        assert _plain(_checked("resume=last")) == before


def test_a_run_without_a_checkpoint_cannot_be_resumed(run: RunFolder) -> None:
    run.last.unlink()
    with pytest.raises(UserError, match="checkpoint"):
        _checked(f"resume={run.path}")


def _plain(config: DictConfig) -> dict[str, Any]:
    """The configuration as the worker reads it."""
    return cast(dict[str, Any], OmegaConf.to_container(without_hydra(config), resolve=True))


def _rewritten(run: RunFolder, key: str, value: Any) -> None:
    """The saved configuration with one key set as an attacker could."""
    config = OmegaConf.load(run.config)
    OmegaConf.update(config, key, value, merge=False, force_add=True)
    OmegaConf.save(config, run.config)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model.generator._target_", "mynets.Mine"),
        ("model.generator._target_", "os.system"),
        ("model.generator._target_", "genimg.launch.start.start"),
        ("model.generator._target_", "genimg.training.callbacks.samples.Samples"),
        ("model.generator_optimizer.lr", {"_target_": "os.system", "command": "touch evil"}),
        ("data.source._target_", "genimg.data.cache.Cache"),
        ("callbacks.mine", {"_target_": "mynets.Mine"}),
        ("logger.mine", {"_target_": "pytorch_lightning.loggers.CSVLogger", "save_dir": "x"}),
        ("model.name", "${oc.env:HOME}"),
        ("model.name", "${oc.create:{_target_:os.system}}"),
        ("logger.tensorboard.save_dir", "elsewhere"),
        ("logger.tensorboard.save_dir", "/tmp"),
        ("logger.tensorboard.name", "../../elsewhere"),
        ("logger.tensorboard.version", ".."),
        ("logger.tensorboard.save_dir", [["/tmp"]]),
        ("logger.tensorboard._args_", ["/tmp"]),
        ("data.source._args_", ["/tmp"]),
        ("callbacks.samples._recursive_", False),
        ("task", "compare"),
        ("task", ["train"]),
        ("runs", ["a"]),
        ("out", "/tmp/page.html"),
        ("study", "x"),
        ("trainer.plugins", "x"),
        ("trainer.precision", "64-true"),
        ("trainer.fused", "no"),
        ("seed", -1),
        ("log_every_steps", 0),
        ("budget", 5),
        ("budget.evil", 5),
        ("model", {"_target_": "genimg.models.gan.GAN"}),
        ("data", [1]),
        ("seed", {"a": 1}),
    ],
)
def test_an_untrusted_configuration_is_refused_before_anything_is_built(key: str, value: Any, run: RunFolder) -> None:
    _rewritten(run, key, value)
    before = sorted(Path().rglob("*"))
    with pytest.raises(UserError) as mistake:
        _checked("resume=last")
    assert key.split(".")[0] in str(mistake.value)
    assert sorted(Path().rglob("*")) == before


def test_classes_that_the_user_names_may_be_resumed(run: RunFolder, tmp_path: Path) -> None:
    _rewritten(run, "model.generator._target_", "mynets.Mine")
    _rewritten(run, "trust", ["mynets"])  # the file cannot trust itself
    with pytest.raises(UserError, match=r"trust=\[mynets\]"):
        _checked("resume=last")
    assert _checked("resume=last", "trust=[mynets]").trust == ["mynets"]
    (tmp_path / "mine" / "model").mkdir(parents=True)
    (tmp_path / "mine" / "model" / "mine.yaml").write_text("defaults: [gan]\ngenerator:\n  _target_: mynets.Mine\n")
    assert check(Composer("train", tmp_path / "mine"), ["resume=last"]).trust == ["mynets.Mine"]


def test_a_class_written_on_the_command_line_needs_no_trust(run: RunFolder) -> None:
    words = ["resume=last", "allow_changes=true", "+callbacks.mine._target_=mynets.Mine"]
    assert _checked(*words).trust == ["mynets.Mine"]
    assert run.config.exists()


def test_a_moved_run_writes_into_its_new_folder(run: RunFolder, tmp_path: Path) -> None:
    moved = RunFolder(run.path.rename(tmp_path / "moved"))
    config = _checked(f"resume={moved.path}")
    assert config.run_dir == config.logger.tensorboard.save_dir == str(moved.path)


def test_a_logger_on_the_command_line_replaces_an_untrusted_one(run: RunFolder) -> None:
    _rewritten(run, "logger.tensorboard.save_dir", "/tmp")
    assert list(_checked("resume=last", "logger=csv").logger) == ["csv"]


def test_an_untrusted_run_does_not_choose_where_arrays_are_cached_and_its_data_may_have_moved(
    run: RunFolder, tmp_path: Path
) -> None:
    folder = {"_target_": "genimg.data.celeba.CelebA", "root": "gone", "cache": "/elsewhere", "download": True}
    for key, value in (("data.root", "gone"), ("data.cache", "/elsewhere"), ("data.source", folder)):
        _rewritten(run, key, value)
    with pytest.raises(UserError, match="if it has moved"):
        _checked("resume=last")
    _rewritten(run, "data.root", str(tmp_path))
    assert _checked("resume=last").data.source.download is False
    (tmp_path / "here").mkdir()
    for number in range(9):
        (tmp_path / "here" / f"{number}.png").touch()
    data = _checked("resume=last", f"data.root={tmp_path / 'here'}").data
    assert (data.cache, data.source.cache, data.source.download) == (False, False, True)
    assert data.root == data.source.root == str(tmp_path / "here")
    _rewritten(run, "data.source.download", False)  # as the run is written down once it is resumed
    assert _checked("resume=last", f"data.root={tmp_path / 'here'}").data.source.download is True


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n", "aliases"),
        (f"a: {'x' * 2**18}\n", "bytes"),
        ("- 1\n", "mapping"),
        ("a: [1", "config.yaml"),
        ("a: !!python/object/apply:os.system [touch evil]\n", "config.yaml"),
    ],
    ids=["aliases", "large", "list", "torn", "python"],
)
def test_a_damaged_configuration_is_one_error(text: str, said: str, run: RunFolder) -> None:
    run.config.write_text(text)
    with pytest.raises(UserError, match=said):
        _checked("resume=last")
    assert not Path("evil").exists()
