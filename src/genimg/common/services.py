"""The services that loggers of Lightning connect to: what each needs, what it gets of a run, how it shows images.

This module imports none of them: the methods take the logger that was built.
"""

from __future__ import annotations

import logging
import os
import re
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from genimg.common.errors import UserError

Node = dict[str, Any]  # of the configuration: the class of a logger and its arguments


class RunFacts(NamedTuple):
    """What a logger may get of a run. folder: absolute. outputs: where runs are."""

    folder: Path
    outputs: str
    tags: Sequence[str]


class Service:
    """A logger of any package: it has images if it has W&B's methods `log_image` and `log_video`.

    package: to import. extra: brings it, `pip install "genimg-train[extra]"`. Both are empty for an unknown logger.
    """

    package: ClassVar[str] = ""
    extra: ClassVar[str] = ""

    def completed(self, node: Node, key: str, run: RunFacts) -> Node:
        """Returns `node` with the arguments that depend on the run, except those that it sets.

        Raises:
            UserError: for a run that the service cannot keep; `key` is that of the node.
        """
        return node

    def unconnected(self, node: Node) -> Node:
        """Returns `node` with arguments with which the logger opens nothing when it is built."""
        return node

    def hint(self, error: BaseException) -> str | None:
        """Returns what to do about `error`, with which the service does not start; None if the error says it."""
        return None

    def start(self, logger: Any, hyperparameters: dict[str, Any], folder: Path) -> None:
        """Connects, and logs flat, plain values. folder: of the run."""
        logger.log_hyperparams(hyperparameters)

    def log_image(self, logger: Any, name: str, image: Any, step: int) -> None:
        """Shows an image of Pillow."""
        if hasattr(logger, "log_image"):
            logger.log_image(key=name, images=[image], step=step)

    def log_gif(self, logger: Any, name: str, file: Path, step: int) -> None:
        """Shows the animation in a GIF."""
        if hasattr(logger, "log_video"):
            logger.log_video(key=name, videos=[str(file)], step=step, format=["gif"])

    def end(self, logger: Any, status: str) -> None:
        """Completes what the logger has written or sent. status: `success` or `failed`."""
        logger.finalize(status)


class WeightsAndBiases(Service):
    """W&B continues the run with the same `id`."""

    package = extra = "wandb"

    def completed(self, node: Node, key: str, run: RunFacts) -> Node:
        identity = _kept_id(run.folder / "wandb.id", 12)
        return _with_defaults(node, name=run.folder.name, id=identity, save_dir=run.outputs)

    def hint(self, error: BaseException) -> str | None:
        if type(error).__name__ == "AuthenticationError" or re.search(r"log ?in|api.?key", str(error), re.IGNORECASE):
            return "wandb login, or logger.wandb.offline=true"
        return "logger.wandb.offline=true" if type(error).__name__ == "CommError" else None


class MLflow(Service):
    """MLflow has a server, or a database in the run folder. It continues the run whose id it gave."""

    package = extra = "mlflow"

    def completed(self, node: Node, key: str, run: RunFacts) -> Node:
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")  # its default blocks for minutes
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
        identity = _id_in(run.folder / "mlflow.id", 32)
        node = _with_defaults(node, run_name=run.folder.name, run_id=identity, tags=dict.fromkeys(run.tags, "true"))
        node = _with_defaults(node, tracking_uri=os.environ.get("MLFLOW_TRACKING_URI"))
        if node["tracking_uri"] is not None:
            return node
        if set("?#%") & set(str(run.folder)):
            expected = "a folder without ?, # and % in its path, which the address of a database cannot name"
            raise UserError(key, run.folder, expected, f"{key}.tracking_uri=sqlite:///FILE")
        database, files = f"sqlite:///{run.folder / 'mlflow.db'}", str(run.folder / "mlflow")
        return _with_defaults(node, tracking_uri=database, artifact_location=files)

    def unconnected(self, node: Node) -> Node:
        os.environ.pop("MLFLOW_TRACKING_URI", None)  # the logger creates its database as it is built
        return {**node, "tracking_uri": None}

    def hint(self, error: BaseException) -> str | None:
        gone = getattr(error, "error_code", None) == "RESOURCE_DOES_NOT_EXIST"
        return "remove mlflow.id from the run folder, and the run is a new one there" if gone else None

    def start(self, logger: Any, hyperparameters: dict[str, Any], folder: Path) -> None:
        run = logger.experiment.get_run(logger.run_id)
        logger.experiment.update_run(logger.run_id, status="RUNNING")  # an earlier session ended it
        known = run.data.params  # which MLflow does not let a resumed run change
        logger.log_hyperparams({name: value for name, value in hyperparameters.items() if name not in known})
        (folder / "mlflow.id").write_text(logger.run_id)

    def log_image(self, logger: Any, name: str, image: Any, step: int) -> None:
        logger.experiment.log_image(logger.run_id, image, key=name, step=step)

    def log_gif(self, logger: Any, name: str, file: Path, step: int) -> None:
        logger.experiment.log_artifact(logger.run_id, str(file), name)


class Comet(Service):
    """Comet continues the experiment with the same key. Offline it writes archives, one for each session of a run."""

    package, extra = "comet_ml", "comet"

    def completed(self, node: Node, key: str, run: RunFacts) -> Node:
        os.environ["COMET_DISABLE_AUTO_LOGGING"] = "1"  # it would replace functions of torch
        logging.getLogger("comet_ml.experiment").setLevel(logging.ERROR)  # it warns that torch was imported before
        logging.getLogger("comet_ml.comet_start").setLevel(logging.CRITICAL)  # its errors are those that it raises
        identity = _kept_id(run.folder / "comet.id", 32)
        node = _with_defaults(
            node, name=run.folder.name, experiment_key=identity, offline_directory=str(run.folder / "comet")
        )
        if node.get("online") is not False:
            os.environ["COMET_START_ONLINE"] = "true"
            self._check_key(node, key)
            return node
        os.environ.setdefault("COMET_ERROR_TRACKING_ENABLE", "false")
        # Lightning turns Comet off when it is given online=False; log_env_details asks the network for its addresses
        os.environ["COMET_START_ONLINE"] = "false"
        return _with_defaults({**node, "online": None}, log_env_details=False)

    @staticmethod
    def _check_key(node: Node, key: str) -> None:
        """Raises UserError if there is no key, for which Comet would wait long."""
        from comet_ml.config import get_config  # pyright: ignore[reportPrivateImportUsage]

        if not (node.get("api_key") or get_config("comet.api_key")):
            expected = "a key of Comet: the variable COMET_API_KEY, or `comet login`"
            raise UserError(key, None, expected, f"only files, for `comet upload`: {key}.online=false")

    def unconnected(self, node: Node) -> Node:
        return {**node, "online": False, "disabled": True}

    def hint(self, error: BaseException) -> str | None:
        if "APIKey" in type(error).__name__:
            return "COMET_API_KEY, or logger.comet.online=false"
        return "logger.comet.online=false" if isinstance(error, OSError) else None  # it cannot be reached

    def log_image(self, logger: Any, name: str, image: Any, step: int) -> None:
        logger.experiment.log_image(image, name=name, step=step)

    def log_gif(self, logger: Any, name: str, file: Path, step: int) -> None:
        logger.experiment.log_image(str(file), name=name, step=step)  # its videos are no GIFs

    def end(self, logger: Any, status: str) -> None:
        logger.finalize(status)
        logger.experiment.end()  # Lightning's logger leaves it to the end of the process


#: By the class of Lightning. An untrusted configuration may not name them, because they connect to anywhere.
SERVICES: dict[str, Service] = {
    "pytorch_lightning.loggers.CometLogger": Comet(),
    "pytorch_lightning.loggers.MLFlowLogger": MLflow(),
    "pytorch_lightning.loggers.WandbLogger": WeightsAndBiases(),
}
_BY_CLASS = {target.rpartition(".")[2]: service for target, service in SERVICES.items()}
_OTHER = Service()


def service_named(target: str) -> Service:
    """Returns the service of the class with the name `target`."""
    return _BY_CLASS.get(target.rpartition(".")[2], _OTHER)


def service_of(logger: object) -> Service:
    """Returns the service of a logger, whose class may be derived from that of Lightning."""
    return next((_BY_CLASS[kind.__name__] for kind in type(logger).__mro__ if kind.__name__ in _BY_CLASS), _OTHER)


def _with_defaults(node: Node, **defaults: Any) -> Node:
    """Returns `node` with the values of `defaults` that it does not set or sets to None."""
    return {**node, **{key: value for key, value in defaults.items() if node.get(key) is None}}


def _kept_id(file: Path, length: int) -> str:
    """The id of the run at a service, `length` hexadecimal digits, which is kept in `file`: a resumed run continues."""
    found = _id_in(file, length)
    if found is None:
        found = uuid.uuid4().hex[:length]
        file.write_text(found)
    return found


def _id_in(file: Path, length: int) -> str | None:
    """The `length` hexadecimal digits in `file`; None if there is no such file, or it has other contents."""
    found = file.read_text(errors="replace") if file.is_file() else ""
    return found if re.fullmatch(rf"[0-9a-f]{{{length}}}", found) else None
