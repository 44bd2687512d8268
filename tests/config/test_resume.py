"""resume=RUN: the saved configuration, in which only some settings may change."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest
from omegaconf import DictConfig, OmegaConf

from genimg.common.differences import differences
from genimg.common.errors import UserError
from genimg.common.run_folder import RunFolder
from genimg.config.compose import Composer, without_hydra
from genimg.launch.session import check
from tests.config.resumed import checked, plain, rewrite, run

__all__ = ["run"]  # the fixture


def test_a_resumed_run_uses_the_saved_configuration(run: RunFolder) -> None:
    config = checked("resume=last")
    assert (config.model.lr, config.seed, config.budget.images) == (0.125, 7, 1000)
    assert (config.resume, config.run_dir) == (str(run.path), str(run.path))


def test_the_last_checkpoint_names_its_run(run: RunFolder) -> None:
    assert checked(f"resume={run.last}").run_dir == str(run.path)


def test_a_link_out_of_the_folder_is_refused_by_its_checkpoint_too(run: RunFolder, tmp_path: Path) -> None:
    run.samples.rmdir() if run.samples.is_dir() else None
    run.samples.symlink_to(tmp_path)
    for name in (run.path, run.last):
        with pytest.raises(UserError, match="without links"):
            checked(f"resume={name}")


def test_what_changes_results_stays_beside_another_trainer(run: RunFolder) -> None:
    rewrite(run, "trainer.gradient_clip_val", 0.5)
    assert checked(f"resume={run.path}", "trainer=cpu").trainer.gradient_clip_val == 0.5


@pytest.mark.parametrize("trust", ["lightning", "pytorch_lightning", "lightning.pytorch"])
def test_a_run_with_lightnings_callbacks_is_resumed_by_either_name(run: RunFolder, trust: str) -> None:
    stop = {"_target_": "lightning.pytorch.callbacks.EarlyStopping", "monitor": "val_elbo"}
    rewrite(run, "callbacks.stop", stop)
    with pytest.raises(UserError, match="trust="):
        checked(f"resume={run.path}")
    found = checked(f"resume={run.path}", f"trust=[{trust}]").callbacks.stop
    assert found["_target_"] == "pytorch_lightning.callbacks.EarlyStopping"


def test_lightnings_other_name_does_not_lead_out_of_the_folder(run: RunFolder, tmp_path: Path) -> None:
    keep = {"_target_": "lightning.pytorch.callbacks.ModelCheckpoint", "dirpath": str(tmp_path / "outside")}
    rewrite(run, "callbacks.keep", keep)
    with pytest.raises(UserError, match="the run's own folder"):
        checked(f"resume={run.path}", "trust=[lightning]")


def test_other_data_begin_a_new_run(run: RunFolder) -> None:
    for words in ([], ["allow_changes=true"]):
        with pytest.raises(UserError, match="init_from=RUN data=fashion_mnist") as mistake:
            checked(f"resume={run.path}", "data=fashion_mnist", *words)
        assert mistake.value.key == "data"


def test_the_recorded_choice_is_the_data_of_the_run_whatever_their_name(run: RunFolder) -> None:
    run.overrides.write_text("data=kmnist\n")
    rewrite(run, "data.name", "my characters")
    assert checked(f"resume={run.path}", "data=kmnist", "allow_changes=true").run_dir == str(run.path)


def test_another_checkpoint_begins_a_new_run(run: RunFolder) -> None:
    run.best.write_bytes(run.last.read_bytes())
    with pytest.raises(UserError, match=r"init_from=.*best\.pt") as mistake:
        checked(f"resume={run.best}")
    assert mistake.value.key == "resume"


def test_settings_that_may_change(run: RunFolder) -> None:
    words = ["logger=csv", "trainer.threads=1", "data.workers=3", "~callbacks.samples"]
    config = checked(f"resume={run.path}", *words)
    assert list(config.logger) == ["csv"]
    assert config.logger.csv.run_dir == str(run.path)
    assert (config.trainer.threads, config.data.workers) == (1, 3)
    assert "samples" not in config.callbacks
    assert config.model.lr == 0.125


def test_a_setting_that_the_saved_configuration_lacks_has_its_default(run: RunFolder) -> None:
    saved = cast(DictConfig, OmegaConf.load(run.config))
    del saved.trainer["deterministic"], saved.health
    OmegaConf.save(saved, run.config)
    config = checked("resume=last")
    assert config.trainer.deterministic is False and config.health.on_divergence == "stop"
    assert checked("resume=last", "trainer.deterministic=true").trainer.deterministic is True


def test_a_choice_in_a_saved_run_starts_no_further_processes(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    run.overrides.write_text("trainer=ddp\n")
    monkeypatch.setattr("genimg.config.check.count_gpus", lambda: 4)
    assert (checked("resume=last").trainer.devices, checked("resume=last").trainer.strategy) == (1, "auto")


def test_a_new_budget_replaces_the_saved_one(run: RunFolder) -> None:
    assert run.config.exists()
    assert checked("resume=last", "budget.images=5e3").budget == {
        "images": 5000,
        "epochs": None,
        "steps": None,
        "minutes": None,
    }


ELSE = [
    "model=vae", "model.lr=1", "seed=3", "experiment=null", "+model.x=1", "trainer.precision=32-true",
    "callbacks=none", "callbacks.frechet_random.num_images=9", "health.on_divergence=rollback",
    "~callbacks.prior", "+callbacks.healthy.x=1",
]  # fmt: skip


@pytest.mark.parametrize("word", ELSE)
def test_other_settings_are_refused_by_name(word: str, run: RunFolder) -> None:
    assert run.config.exists()
    with pytest.raises(UserError, match="may change") as mistake:
        checked("resume=last", word)
    assert mistake.value.key == word.lstrip("+~").split("=")[0]


def test_another_precision_may_be_allowed(run: RunFolder) -> None:
    changed = checked(f"resume={run.path}", "allow_changes=true", "trainer.precision=32-true")
    assert changed.trainer.precision == "32-true"


def test_the_refusal_names_allow_changes(run: RunFolder) -> None:
    with pytest.raises(UserError, match="allow_changes=true"):
        checked(f"resume={run.path}", "model.lr=1")
    with pytest.raises(UserError, match="resume=RUN"):
        checked("allow_changes=true")


def test_a_change_reaches_only_the_keys_that_follow_it(run: RunFolder) -> None:
    rewrite(run, "model.discriminator_optimizer.lr", 0.25)  # a value of its own
    before = plain(checked("resume=last"))
    after = plain(checked("resume=last", "allow_changes=true", "model.lr=0.5", "seed=3"))
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
    assert checked(f"resume={run.path}", "trainer.fused=false").model.generator_optimizer.fused is False


@pytest.mark.parametrize("word", ["experiment=fashion_gan", "run_dir=x", "sweep.seeds=2", "~model.lr", "model.zdmi=3"])
def test_some_settings_cannot_be_changed_on_resume(word: str, run: RunFolder) -> None:
    with pytest.raises(UserError):
        checked(f"resume={run.path}", "allow_changes=true", word)


def test_an_invalid_allow_changes_is_reported_before_the_changes(run: RunFolder) -> None:
    with pytest.raises(UserError, match=r"allow_changes: got maybe\n.*true or false"):
        checked("resume=last", "allow_changes=maybe", "model.lr=1")


def test_allow_changes_applies_to_one_resume_only(run: RunFolder) -> None:
    rewrite(run, "allow_changes", True)
    assert checked("resume=last").allow_changes is False
    with pytest.raises(UserError, match="may change"):
        checked("resume=last", "model.lr=1")


def test_the_keys_are_those_of_the_model_and_the_data_that_the_run_has(run: RunFolder) -> None:
    config = without_hydra(checked("model=vae", "data=kmnist", "model.beta=3", "data.image_size=16"))
    OmegaConf.save(OmegaConf.create(OmegaConf.to_container(config, resolve=True)), run.config)
    run.overrides.write_text("model=gan\nmodel=vae\ndata=kmnist\nmodel.beta=3\n")
    config = plain(checked("resume=last", "allow_changes=true", "model.kl_warmup=0.5"))
    assert (config["model"]["beta"], config["model"]["kl_warmup"], config["data"]["image_size"]) == (3, 0.5, 16)
    config = plain(checked("resume=last", "allow_changes=true", "data=kmnist"))  # with its defaults
    assert (config["data"]["name"], config["model"]["beta"]) == ("kmnist", 3)
    size = config["data"]["image_size"]
    networks = [config["model"][name]["shape"]["image_size"] for name in ("encoder", "decoder")]
    assert networks == [size, size] and size != 16


def test_changes_need_the_yaml_files_that_the_run_began_with(run: RunFolder, tmp_path: Path) -> None:
    run.overrides.write_text("model=mine\n")
    assert checked("resume=last")
    with pytest.raises(UserError, match="--config-dir"):
        checked("resume=last", "allow_changes=true", "model.lr=1")
    (tmp_path / "mine" / "model").mkdir(parents=True)
    (tmp_path / "mine" / "model" / "mine.yaml").write_text("defaults: [gan]\nhidden: ${model.latent_dim}\n")
    rewrite(run, "model.hidden", 64)
    words = ["resume=last", "allow_changes=true", "model.latent_dim=32"]
    assert check(Composer("train", tmp_path / "mine"), words).model.hidden == 32


def test_lists_of_choices_and_quoted_choices_are_recognised(run: RunFolder) -> None:
    run.overrides.write_text("logger=[csv, tensorboard]\nmodel='vae'\n")
    config = without_hydra(checked("model=vae"))
    OmegaConf.save(OmegaConf.create(OmegaConf.to_container(config, resolve=True)), run.config)
    assert checked("resume=last", "allow_changes=true", "model.beta=3").model.beta == 3
    with pytest.raises(UserError, match=r"configs/model/vae\.yaml"):  # which set what it began with, not the default
        checked("resume=last", "allow_changes=true", "model.lr=abc")


def test_a_run_without_a_checkpoint_cannot_be_resumed(run: RunFolder) -> None:
    run.last.unlink()
    with pytest.raises(UserError, match="checkpoint"):
        checked(f"resume={run.path}")
