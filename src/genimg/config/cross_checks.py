"""Checks across keys: what must go together, and what must be there on this machine."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from genimg.common import ranks
from genimg.common.errors import UserError
from genimg.common.hardware import count_gpus
from genimg.common.run_folder import find_run, find_runs
from genimg.config.names import nearest
from genimg.config.yaml_text import find as find_page
from genimg.data import listing

# the extractors of genimg.evaluation.features
FEATURES = ("auto", "classifier", "efficientnet_lite0", "inception", "random")

Config = dict[str, Any]  # the resolved configuration, plain types

# models of this package that train on sequences; every other one of it trains on still images
SEQUENCE_MODELS = ("genimg.models.rnn.",)

# data of the user's own, and the check of its folder in genimg.data.listing
FOLDERS = {
    "genimg.data.image_folder.ImageFolder": listing.require_images,
    "genimg.data.frame_folder.FrameFolder": listing.require_clips,
}


def cross_check(config: Config, on_this_machine: bool) -> None:
    """Raises UserError for the first thing that does not go together.

    on_this_machine: False leaves out what depends on devices and on folders, so that a configuration
    can be printed here and run elsewhere.
    """
    for check, needs_machine in CHECKS.get(str(config.get("task")), {}).items():
        if on_this_machine or not needs_machine:
            check(config)


def _budget(config: Config) -> None:
    if all(limit is None for limit in config["budget"].values()):
        raise UserError("budget", "null for images, epochs and minutes", "one of them", hint="budget.minutes=10")


def _run_dir(config: Config) -> None:
    if config["run_dir"] is not None and config["resume"] is None:
        expected = "null: a run makes its folder when it starts, by the time"
        raise UserError("run_dir", config["run_dir"], expected, hint=f"outputs={config['run_dir']}, to hold the runs")


def _outputs(config: Config) -> None:
    for key in ("outputs", "resume"):
        folder = str(config[key] or "")
        if os.path.expanduser(os.path.expandvars(folder)) != folder:
            expected = "a folder without $NAME or ~ in its name: TensorBoard's logger would write elsewhere"
            raise UserError(key, folder, expected, hint="rename it")


def _allow_changes(config: Config) -> None:
    if config["allow_changes"] and config["resume"] is None:
        raise UserError("allow_changes", "true", "resume=RUN beside it: a run that begins may be anything")


def _kinds(config: Config) -> None:
    target = str(config["model"].get("_target_"))
    if not target.startswith("genimg."):
        return
    kind, name = config["data"]["kind"], config["data"]["name"]
    wants = "sequences" if target.startswith(SEQUENCE_MODELS) else "images"
    if kind == wants:
        return
    if wants == "sequences":
        hint = f"data=moving_{name}" if find_page("data", f"moving_{name}", None) else "data=moving_digits"
        raise UserError("data", name, "sequences, for this model makes animations", hint=hint)
    still = name.removeprefix("moving_") if name.startswith("moving_") else "image_folder"
    raise UserError(
        "data",
        name,
        "still images, for this model makes images",
        hint=f"data={still}, or model=rnn for sequences",
    )


def _labels(config: Config) -> None:
    if not config["model"].get("conditional"):
        return
    if config["data"].get("num_classes") and config["data"].get("stills", 1) != 1:
        expected = "data with labels: clips in which several stills move have none"
        raise UserError("model.conditional", "true", expected, hint="data.stills=1")
    if not config["data"].get("num_classes"):
        hint = "put the images of each class in a folder of its own" if _folders(config) else "model.conditional=false"
        raise UserError("model.conditional", "true", f"data with labels; {config['data']['name']} has none", hint=hint)


def _num_classes(config: Config) -> None:
    model = config["model"]
    follows = config["data"].get("num_classes") if model.get("conditional") else 0
    if str(model.get("_target_")).startswith("genimg.") and model.get("num_classes", follows) != follows:
        expected = f"{follows}, which follows from model.conditional and the data"
        hint = "leave it out" if model.get("conditional") else "leave it out; for classes: model.conditional=true"
        raise UserError("model.num_classes", model["num_classes"], expected, hint)


def _data_root(config: Config) -> None:
    for source in _folders(config):
        FOLDERS[source["_target_"]](source.get("root"), bool(source.get("follow_links")))


def _folders(config: Config) -> list[Config]:
    """The parts of the data that read a user's folder: the source, or the stills that move in it."""
    source = config["data"].get("source")
    parts = [source, source.get("of")] if isinstance(source, dict) else []
    return [part for part in parts if isinstance(part, dict) and part.get("_target_") in FOLDERS]


def _devices(config: Config) -> None:
    trainer = config["trainer"]
    gpus = count_gpus()
    if trainer["accelerator"] == "gpu" and gpus == 0:
        raise UserError("trainer.accelerator", "gpu", "a GPU, and this machine has none", hint="trainer=auto")
    if (
        trainer["devices"] != "auto"
        and trainer["devices"] > 1
        and trainer["accelerator"] != "cpu"
        and trainer["devices"] > gpus
    ):
        has = f"at most {gpus} GPUs, which this machine has" if gpus else "1, for this machine has no GPU"
        hint = f"trainer.devices={gpus}" if gpus else "trainer.devices=1, or processes beside each other: trainer=cpu"
        raise UserError("trainer.devices", trainer["devices"], has, hint)


def _is_endpoint(text: str) -> bool:
    """Whether it is HOST:PORT, the host as torch takes it."""
    parts = re.fullmatch(r"(\[[\w.:]+\]|[\w.:-]+):(?P<port>\d+)", text, re.ASCII)
    return parts is not None and 0 < int(parts["port"]) < 2**16


def _processes(config: Config) -> None:
    trainer, launch, batch = config["trainer"], config["launch"], config["data"]["batch_size"]
    if trainer["num_nodes"] > 1 and launch["rdzv_endpoint"] is None and not ranks.is_one_of_several():
        hint = "launch.rdzv_endpoint=HOST:29400, an open port of the first machine"
        raise UserError("launch.rdzv_endpoint", None, "where the machines of trainer.num_nodes meet", hint)
    if launch["rdzv_endpoint"] is not None and not _is_endpoint(launch["rdzv_endpoint"]):
        hint = "launch.rdzv_endpoint=HOST:29400"
        raise UserError("launch.rdzv_endpoint", launch["rdzv_endpoint"], "HOST:PORT, a port from 1 to 65535", hint)
    if launch["node_rank"] >= trainer["num_nodes"]:
        last = trainer["num_nodes"] - 1
        raise UserError("launch.node_rank", launch["node_rank"], f"0 to {last}, for trainer.num_nodes={last + 1}")
    processes = trainer["devices"] * trainer["num_nodes"] if trainer["devices"] != "auto" else 1
    if ranks.is_one_of_several() and processes != ranks.processes():
        started = ranks.processes()
        expected = f"as many as torchrun or srun has started: {started} processes on {trainer['num_nodes']} machines"
        raise UserError(
            "trainer.devices", trainer["devices"], expected, f"trainer.devices={started // trainer['num_nodes']}"
        )
    if batch % processes:
        more = (batch // processes + 1) * processes
        expected = f"a multiple of {processes}: each of trainer.devices and trainer.num_nodes takes an equal share"
        raise UserError("data.batch_size", batch, expected, f"data.batch_size={more}")


def _run(config: Config) -> None:
    find_run(str(config["run"]), str(config["outputs"]))


def _runs(config: Config) -> None:
    find_runs(config["runs"], str(config["outputs"]))


def _asked(config: Config) -> None:
    if (config["runs"] is None) == (config["results"] is None):
        got = "neither" if config["runs"] is None else "both"
        raise UserError(
            "runs", got, "runs=[A] to ask, or study=FOLDER results=[...] to count; one of them", "runs=[last]"
        )
    if config["results"] is not None and config["study"] is None:
        raise UserError("study", None, "the folder of the study that results= answer", hint="study=outputs/studies/...")


def _rated(config: Config) -> None:
    for key, there in (("runs", lambda name: find_run(name, str(config["outputs"]), "runs")), ("results", _file)):
        given = config[key]
        for one in [] if given is None else given if isinstance(given, list) else [given]:
            there(str(one))


def _file(path: str) -> None:
    if not Path(path).expanduser().is_file():
        raise UserError("results", path, "a file that a rater saved", hint="there is no such file")


def _images(config: Config) -> None:
    for key in ("start", "reconstruct"):
        given = config.get(key)
        for path in given if isinstance(given, list) else [] if given is None else [given]:
            if not Path(str(path)).expanduser().exists():
                raise UserError(key, path, "an image, a folder of them, or a list", hint="there is no such file")


def _features(config: Config) -> None:
    name = str(config["features"])
    if name not in FEATURES and "." not in name:
        near = nearest(name, FEATURES)
        expected = f"{', '.join(FEATURES)}, or package.module.Class of your own"
        raise UserError("features", name, expected, hint=f"did you mean features={near}?" if near else None)
    if config["weights"] is not None and name != "inception":
        raise UserError("weights", config["weights"], "null without features=inception", hint="features=inception")


def _files(config: Config) -> None:
    if not isinstance(config["cache"], bool | str):
        raise UserError("cache", config["cache"], "true, false or a folder")
    for key, kind, there in (("weights", "a file", Path.is_file), ("root", "a folder", Path.is_dir)):
        given = config[key]
        if given is not None and not there(Path(given).expanduser()):
            raise UserError(key, given, f"{kind} that exists, or null")


# each task's checks, and whether they ask what this machine has
CHECKS: dict[str, dict[Callable[[Config], None], bool]] = {
    "train": {
        _budget: False,
        _run_dir: False,
        _outputs: False,
        _allow_changes: False,
        _kinds: False,
        _data_root: True,
        _labels: False,
        _num_classes: False,
        _devices: True,
        _processes: False,
    },
    "sample": {_run: True, _images: True},
    "evaluate": {_run: True, _features: False, _files: True},
    "export": {_run: True},
    "report": {_run: True},
    "compare": {_runs: True},
    "rate": {_asked: True, _rated: True},
}
