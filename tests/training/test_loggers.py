"""Loggers of other services, offline: curves, images, animations, hyperparameters, names, tags; and their failures."""

from __future__ import annotations

import json
import os
import random
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pytorch_lightning.loggers import CSVLogger

from genimg.common.errors import UserError
from genimg.common.services import SERVICES, service_of
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
    # the resumed run is the same one, although its budget is another
    assert [len(runs), runs[0].info.run_name, runs[0].data.tags["first"]] == [1, "one", "true"]
    assert runs[0].info.run_id == (tmp_path / "one" / "mlflow.id").read_text()
    assert runs[0].data.params["model/width"] == "4"
    (tmp_path / "one" / "mlflow.id").write_text("0" * 32)
    answer = command("budget.images=128", *resumed[1:])
    assert answer.code == 2 and "mlflow.id" in answer.err, answer.err  # a run that is not there, as at another server
    assert "Traceback" not in answer.err
    assert [point.step for point in client.get_metric_history(runs[0].info.run_id, "val/kl")][-1] == 96
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


# records every name that the process asks the network for
NO_NETWORK = """
import socket
def refuse(host, *given, **named):
    with open({asked!r}, "a") as file:
        file.write(f"{{host}}\\n")
    raise socket.gaierror("offline")
socket.getaddrinfo = refuse
"""


@pytest.mark.slow
def test_offline_comet_writes_an_archive_for_each_session_and_nothing_else(
    command: Callable[..., Answer], tmp_path: Path
) -> None:
    home, work, asked = tmp_path / "home", tmp_path / "work", tmp_path / "asked"
    home.mkdir()
    work.mkdir()
    (tmp_path / "sitecustomize.py").write_text(NO_NETWORK.format(asked=str(asked)))
    given = {"HOME": str(home), "COMET_API_KEY": ""}
    given["PYTHONPATH"] = os.pathsep.join(filter(None, (str(tmp_path), os.environ.get("PYTHONPATH"))))
    words = [*CLIPS, *SHORT, "tags=[first]", "logger=[csv,comet]", "logger.comet.online=false", "budget.images=64"]
    for session in ([*words, "run_dir=one"], ["budget.images=96", "resume=one", "trust=[pytorch_lightning]"]):
        answer = command(*session, cwd=work, **given)
        assert answer.code == 0, answer.err
    assert list(work.iterdir()) == [work / "one"] and list(home.iterdir()) == [] and not asked.exists()

    archives = sorted((work / "one" / "comet").iterdir(), key=lambda file: file.stat().st_mtime)
    key = (work / "one" / "comet.id").read_text()
    for archive, images_seen in zip(archives, (64, 96), strict=True):
        with zipfile.ZipFile(archive) as file:
            about = json.loads(file.read("experiment.json"))
            messages = [json.loads(line)["payload"] for line in file.read("messages.json").splitlines()]
            pictures = {
                one["additional_params"]["figName"]: file.read(one["file_path"])[:4]
                for one in messages
                if "figName" in one.get("additional_params", ())
            }
        assert [about["offline_id"], about["project_name"], about["tags"]] == [key, "genimg", ["first"]]
        others = {one["key"]: one["value"] for one in messages if "key" in one}
        parameters = {one["param"]["paramName"]: one["param"]["paramValue"] for one in messages if "param" in one}
        assert [others["Name"], parameters["model/width"]] == ["one", 4]
        steps = [one["metric"]["step"] for one in messages if one.get("metric", {}).get("metricName") == "val/kl"]
        assert steps[-1] == images_seen
        assert pictures == {"samples": b"\x89PNG", "reconstructions": b"\x89PNG", "animations": b"GIF8"}


@pytest.mark.slow
def test_comet_without_a_key_is_one_message(command: Callable[..., Answer], tmp_path: Path) -> None:
    given = {"HOME": str(tmp_path), "COMET_API_KEY": ""}
    words = [*SMALL, "data=digits", "logger=comet", "budget.images=32", "run_dir=one"]
    answer = command(*words, **given)
    assert answer.code == 2 and "COMET_API_KEY" in answer.err and "logger.comet.online=false" in answer.err
    assert "Traceback" not in answer.err and not (tmp_path / "one").exists()
    assert command(*words, "dry_run=true", **given).code == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_service_that_does_not_start_is_one_message(command: Callable[..., Answer], tmp_path: Path) -> None:
    given = {"WANDB_API_KEY": "", "HOME": str(tmp_path), "WANDB_MODE": "online"}
    answer = command(*SMALL, "data=digits", "logger=wandb", "budget.images=32", "run_dir=one", **given)
    assert answer.code == 2 and "logger: got WandbLogger" in answer.err
    assert "logger.wandb.offline=true" in answer.err and "Traceback" not in answer.err
    assert not (tmp_path / "one").exists()


@pytest.mark.parametrize("target", SERVICES)
def test_a_missing_package_is_named_before_the_run(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cross_checks, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="not installed") as mistake:
        cross_checks.check_parts({"callbacks": {}, "logger": {"mine": {"_target_": target}}})
    assert mistake.value.hint == f'pip install "genimg-train[{SERVICES[target].extra}]"'


def test_a_hint_fits_the_error_of_the_service() -> None:
    from comet_ml.exceptions import InvalidAPIKey
    from requests.exceptions import ConnectionError as Unreachable
    from wandb.errors import CommError, UsageError

    wandb, comet = (SERVICES[f"pytorch_lightning.loggers.{name}Logger"] for name in ("Wandb", "Comet"))
    assert "wandb login" in str(wandb.hint(UsageError("No API key configured. Use `wandb login` to log in.")))
    assert wandb.hint(CommError("Timed out while retrying")) == "logger.wandb.offline=true"
    assert wandb.hint(UsageError("Invalid project name 'a/b': found '/'")) is None
    assert "COMET_API_KEY" in str(comet.hint(InvalidAPIKey("abc", "comet.com")))
    assert comet.hint(Unreachable("Max retries exceeded")) == "logger.comet.online=false"
    assert comet.hint(ValueError("experiment_key must be alphanumeric")) is None


class ThirdParty(CSVLogger):
    """Stops without an error of the run, draws random numbers, and counts how often it is ended."""

    ended: ClassVar[list[str]] = []

    def __init__(self, save_dir: str) -> None:
        super().__init__(save_dir)
        random.random()

    def finalize(self, status: str) -> None:
        self.ended.append(status)
        raise ConnectionError("the server is gone")


def test_a_logger_that_cannot_end_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    words = [f"+logger.other._target_={__name__}.ThirdParty", f"+logger.other.save_dir={tmp_path}"]
    run_folder(tmp_path / "run", *SMALL, "logger=csv", *words, "budget.images=64")
    drawn = random.random()
    assert ThirdParty.ended == ["success"] and caplog.text.count("ThirdParty did not end: the server is gone") == 1
    run_folder(tmp_path / "alone", *SMALL, "logger=csv", "budget.images=64")
    assert random.random() == drawn  # a run draws the same whatever its loggers draw


def test_a_class_derived_from_that_of_a_service_shows_images_as_it_does() -> None:
    from pytorch_lightning.loggers import MLFlowLogger

    class Mine(MLFlowLogger):
        pass

    assert service_of(Mine.__new__(Mine)) is SERVICES["pytorch_lightning.loggers.MLFlowLogger"]


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
