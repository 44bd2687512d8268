"""Loggers of other services, offline: curves, images, animations, hyperparameters, names, tags; and their failures."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pytorch_lightning.loggers import CSVLogger

from genimg.common.errors import UserError
from genimg.config import cross_checks
from tests.conftest import Answer
from tests.trained import run_folder

CLIPS = [
    "model=rnn",
    "data=moving_digits",
    "data.num_frames=4",
    "data.image_size=8",
    "model.width=4",
    "model.hidden=16",
]
SHORT = ["data.batch_size=16", "trainer.threads=1", "callbacks.samples.times=1", "callbacks.samples.num_clips=2"]
SMALL = ["model=vae", "data.image_size=8", "data.batch_size=16", "model.width=4", "model.hidden=16", "callbacks=none"]


@pytest.mark.slow
def test_a_run_is_in_all_its_loggers(command: Callable[..., Answer], tmp_path: Path) -> None:
    from mlflow.tracking import MlflowClient

    words = [*CLIPS, *SHORT, "tags=[first]", "logger=[csv,mlflow,wandb]", "logger.wandb.offline=true"]
    resumed = ["budget.images=96", "resume=one", "trust=[pytorch_lightning]"]
    for given in ([*words, "budget.images=64", "run_dir=one"], [*resumed[:2]], resumed):
        if given == resumed[:2]:
            answer = command(*given)
            assert answer.code == 2 and "trust=[pytorch_lightning]" in answer.err  # it may connect anywhere
            continue
        answer = command(*given)
        assert answer.code == 0, answer.err
    assert (tmp_path / "one" / "metrics.csv").is_file()

    client = MlflowClient(f"sqlite:///{tmp_path / 'one' / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("genimg")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], order_by=["attributes.start_time ASC"])
    assert [len(runs), runs[0].info.run_name, runs[0].data.tags["first"]] == [2, "one", "true"]
    assert runs[0].data.params["model/width"] == "4"
    assert [point.step for point in client.get_metric_history(runs[0].info.run_id, "val/kl")][-1] == 64
    files = [one.path for name in ("images", "animations") for one in client.list_artifacts(runs[0].info.run_id, name)]
    assert {re.split(r"[+%]", Path(file).name)[0] for file in files if not file.endswith(".webp")} >= {
        "samples",
        "reconstructions",
        "000000064.gif",
    }

    sessions = sorted((tmp_path / "outputs" / "wandb").glob("offline-run-*"))
    identity = (tmp_path / "one" / "wandb.id").read_text()
    assert [one.name.rpartition("-")[2] for one in sessions] == [identity, identity]  # both have the id of the run
    media = {file.name.split("_")[0] for file in sessions[0].rglob("media/*/*") if file.suffix in (".png", ".gif")}
    assert media == {"samples", "reconstructions", "animations"}


@pytest.mark.slow
def test_a_service_that_does_not_start_is_one_message(command: Callable[..., Answer], tmp_path: Path) -> None:
    given = {"WANDB_API_KEY": "", "HOME": str(tmp_path), "WANDB_MODE": "online"}
    answer = command(*SMALL, "data=digits", "logger=wandb", "budget.images=32", "run_dir=one", **given)
    assert answer.code == 2 and "logger: got WandbLogger" in answer.err
    assert "logger.wandb.offline=true" in answer.err and "Traceback" not in answer.err
    assert not (tmp_path / "one").exists()


def test_a_missing_package_is_named_before_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cross_checks, "find_spec", lambda name: None)
    logger = {"wandb": {"_target_": "pytorch_lightning.loggers.WandbLogger"}}
    with pytest.raises(UserError, match="not installed") as mistake:
        cross_checks.check_parts({"callbacks": {}, "logger": logger})
    assert mistake.value.hint == 'pip install "genimg-train[wandb]"'


def test_a_logger_that_fails_costs_its_curves_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(self: object, *given: Any, **named: Any) -> None:
        raise ConnectionError("the server is gone")

    monkeypatch.setattr(CSVLogger, "log_metrics", fail)
    words = ["+logger.other._target_=pytorch_lightning.loggers.CSVLogger", f"+logger.other.save_dir={tmp_path}"]
    folder = run_folder(tmp_path / "run", *SMALL, "logger=csv", *words, "budget.images=64", "log_every_steps=1")
    assert caplog.text.count("CSVLogger stops: the server is gone") == 1
    assert (folder / "metrics.csv").is_file()


def test_a_class_that_is_no_logger_or_callback_is_one_message(tmp_path: Path) -> None:
    for part in ("logger", "callbacks"):
        words = [*SMALL, "logger=none", "budget.images=32", f"+{part}.mine._target_=collections.Counter"]
        with pytest.raises(UserError, match="of Lightning"):
            run_folder(tmp_path / part, *words)
    with pytest.raises(UserError, match="a mapping with the class"):
        cross_checks.check_parts({"callbacks": {}, "logger": {"mine": 5}})


def test_a_run_folder_that_a_database_cannot_name_is_one_message(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"without \?, # and %"):
        run_folder(tmp_path / "a?b", *SMALL, "logger=mlflow", "budget.images=32")


def test_a_dry_run_finds_mistakes_of_callbacks_and_loggers(command: Callable[..., Answer], tmp_path: Path) -> None:
    stop = "+callbacks.stop._target_=pytorch_lightning.callbacks.EarlyStopping"  # its monitor is missing
    for part, words in ((stop, "callbacks.stop"), ("+logger.csv.colour=3", "'colour'")):
        answer = command(*SMALL, "dry_run=true", "trainer.threads=1", "logger=csv", part)
        assert answer.code == 2 and words in answer.err, answer.err
        assert list(tmp_path.iterdir()) == []
    assert command(*SMALL, "callbacks=default", "dry_run=true", "trainer.threads=1").code == 0
