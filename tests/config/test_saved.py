"""The saved configuration of a run is data: it says how the run was trained, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from genimg.common.errors import UserError
from genimg.common.run_folder import RunFolder
from genimg.config.compose import Composer
from genimg.launch.session import check
from tests.config.resumed import checked, plain, rewrite, run

__all__ = ["run"]  # the fixture


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
    before = plain(checked(f"resume={run.path}"))
    for key, value in OF_THE_COMMAND.items():
        if key != "run_dir":  # it says which paths are the run's own
            rewrite(run, key, value)
    assert plain(checked(f"resume={run.path}")) == before
    words = ["trainer.num_nodes=2", "launch.rdzv_endpoint=127.0.0.1:1", "launch.node_rank=1", "launch.max_restarts=3"]
    config = checked(f"resume={run.path}", *words)
    assert config.trainer.num_nodes == 2
    assert config.launch == {"rdzv_endpoint": "127.0.0.1:1", "node_rank": 1, "max_restarts": 3}


def test_no_cache_of_a_saved_run_is_used_at_any_depth(run: RunFolder) -> None:
    rewrite(run, "data.source.cache", "/elsewhere")
    rewrite(run, "data.source.more", [{"cache": "/elsewhere"}])
    found = plain(checked("resume=last"))["data"]["source"]
    assert (found["cache"], found["more"][0]["cache"]) == (False, False)


def test_untrusted_overrides_choose_only_existing_files(run: RunFolder) -> None:
    before = plain(checked("resume=last"))
    lines = ["model=${oc.env:HOME}", "model=../../evil", "model.lr=${oc.env:HOME}", "=", "\0", "data=[digits]"]
    lines += ["model=vae,rnn", "model={a: vae}", "logger=[csv,../../evil]"]
    for text in ("\n".join(lines), "model=vae\n" * 2**16):
        run.overrides.write_text(text)
        assert plain(checked("resume=last")) == before


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
        ("out", "/elsewhere/page.html"),
        ("study", "x"),
        ("trainer.plugins", "x"),
        ("trainer.precision", "64-true"),
        ("trainer.fused", "no"),
        ("seed", -1),
        ("data.source.num_frames", "x"),
        ("log_every_steps", 0),
        ("budget", 5),
        ("budget.evil", 5),
        ("model", {"_target_": "genimg.models.gan.GAN"}),
        ("data", [1]),
        ("seed", {"a": 1}),
    ],
)
def test_an_untrusted_configuration_is_refused_before_anything_is_built(key: str, value: Any, run: RunFolder) -> None:
    rewrite(run, key, value)
    before = sorted(Path().rglob("*"))
    with pytest.raises(UserError) as mistake:
        checked("resume=last")
    assert key.split(".")[0] in str(mistake.value)
    assert sorted(Path().rglob("*")) == before


def test_classes_that_the_user_names_may_be_resumed(run: RunFolder, tmp_path: Path) -> None:
    rewrite(run, "model.generator._target_", "mynets.Mine")
    rewrite(run, "trust", ["mynets"])  # the file cannot trust itself
    with pytest.raises(UserError, match=r"trust=\[mynets\]"):
        checked("resume=last")
    assert checked("resume=last", "trust=[mynets]").trust == ["mynets"]
    (tmp_path / "mine" / "model").mkdir(parents=True)
    (tmp_path / "mine" / "model" / "mine.yaml").write_text("defaults: [gan]\ngenerator:\n  _target_: mynets.Mine\n")
    assert check(Composer("train", tmp_path / "mine"), ["resume=last"]).trust == ["mynets.Mine"]


def test_a_class_written_on_the_command_line_needs_no_trust(run: RunFolder) -> None:
    words = ["resume=last", "allow_changes=true", "+callbacks.mine._target_=mynets.Mine"]
    assert checked(*words).trust == ["mynets.Mine"]
    assert run.config.exists()


def test_a_moved_run_writes_into_its_new_folder(run: RunFolder, tmp_path: Path) -> None:
    moved = RunFolder(run.path.rename(tmp_path / "moved"))
    config = checked(f"resume={moved.path}")
    assert config.run_dir == config.logger.tensorboard.save_dir == str(moved.path)


def test_a_logger_on_the_command_line_replaces_an_untrusted_one(run: RunFolder) -> None:
    rewrite(run, "logger.tensorboard.save_dir", "/tmp")
    assert list(checked("resume=last", "logger=csv").logger) == ["csv"]


def test_an_untrusted_run_does_not_choose_where_arrays_are_cached_and_its_data_may_have_moved(
    run: RunFolder, tmp_path: Path
) -> None:
    folder = {"_target_": "genimg.data.celeba.CelebA", "root": "gone", "cache": "/elsewhere", "download": True}
    for key, value in (("data.root", "gone"), ("data.cache", "/elsewhere"), ("data.source", folder)):
        rewrite(run, key, value)
    with pytest.raises(UserError, match="if it has moved"):
        checked("resume=last")
    rewrite(run, "data.root", str(tmp_path))
    assert checked("resume=last").data.source.download is False
    (tmp_path / "here").mkdir()
    for number in range(9):
        (tmp_path / "here" / f"{number}.png").touch()
    data = checked("resume=last", f"data.root={tmp_path / 'here'}").data
    assert (data.cache, data.source.cache, data.source.download) == (False, False, True)
    assert data.root == data.source.root == str(tmp_path / "here")
    rewrite(run, "data.source.download", False)  # as the run is written down once it is resumed
    assert checked("resume=last", f"data.root={tmp_path / 'here'}").data.source.download is True


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
        checked("resume=last")
    assert not Path("evil").exists()
