"""Checks across keys: settings that must fit together, and what must exist on this machine.

Each task lists the checks that apply to it in `genimg/tasks/<task>.py`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from genimg.common import ranks
from genimg.common.declared import class_attribute, registry
from genimg.common.errors import UserError, nearest
from genimg.common.files import check_empty
from genimg.common.hardware import count_gpus
from genimg.common.run_folder import OF_RUN, RunFolder, find_run, find_runs, list_runs, path_of
from genimg.common.services import SERVICES
from genimg.config.yaml_text import all_keys, groups
from genimg.config.yaml_text import find as find_page
from genimg.data import listing

Config = dict[str, Any]  # the resolved configuration, plain types

_LONGEST_NAME = 100  # characters: the name of a folder may have 255 bytes

#: data sets that read the user's folder, and the function that checks it
FOLDERS = {
    "genimg.data.image_folder.ImageFolder": listing.require_images,
    "genimg.data.frame_folder.FrameFolder": listing.require_clips,
}


class Check(NamedTuple):
    """One check of a task.

    function: takes the configuration and raises UserError if the check fails. It returns the keys whose values it has
        resolved, for example run=last to the path of the run, or None.
    needs_machine: whether it looks at devices or folders. A configuration that is only printed skips it.
    unresolved: whether it precedes the resolution of references to other keys, whose failure it explains.
    """

    function: Callable[[Config], Config | None]
    needs_machine: bool = False
    unresolved: bool = False


def check_budget(config: Config) -> None:
    if all(limit is None for limit in config["budget"].values()):
        got = "null for images, epochs, steps and minutes"
        raise UserError("budget", got, "a limit for one of them", hint="budget.minutes=10")


def check_run_dir(config: Config) -> None:
    """A new run may be given its folder, which must be empty. Only the command of rank 0 writes into it."""
    owned = ranks.rank() == 0 and config["launch"]["node_rank"] == 0 and not config["dry_run"]
    if config["run_dir"] is not None and config["resume"] is None and owned:
        check_empty(Path(config["run_dir"]), "run_dir")


def check_listed(config: Config) -> None:
    if not list_runs(config["outputs"]):
        raise UserError("outputs", config["outputs"], "a folder with runs", "genimg-train trains one")


def check_name(config: Config) -> None:
    """The name of a run is the end of a folder's name, and a tag is a word."""
    name = config["name"]
    if name is not None and ("/" in name or len(name) > _LONGEST_NAME or not name.isprintable()):
        raise UserError("name", name, f"a name without /, of at most {_LONGEST_NAME} characters", "run_dir=FOLDER")
    for tag in config["tags"]:
        if not isinstance(tag, str) or not re.fullmatch(r"\S+", tag):
            raise UserError("tags", tag, "words without spaces: tags=[first,baseline]")


def check_outputs(config: Config) -> None:
    for key in ("outputs", "run_dir", "resume"):
        folder = str(config[key] or "")
        if os.path.expanduser(os.path.expandvars(folder)) != folder:
            expected = "a folder without $NAME or ~ in its path, which TensorBoard's logger would expand"
            raise UserError(key, folder, expected, hint="rename it")


def check_parts(config: Config) -> None:
    """Raises UserError for a callback or a logger without a class, and for a logger whose package is missing."""
    for group in ("callbacks", "logger"):
        for name, node in config[group].items():
            if not isinstance(node, dict):
                key, expected = f"{group}.{name}", "a mapping with the class of the part"
                raise UserError(key, node, expected, f"+{key}._target_=package.Class")
            if "_target_" not in node:
                key = f"{group}.{name}._target_"
                raise UserError(key, None, "the class of the part, which has other keys only", f"+{key}=package.Class")
            service = SERVICES.get(str(node["_target_"]))
            if service is not None and find_spec(service.package) is None:
                key, expected = f"{group}.{name}", f"the package {service.package}, which is not installed"
                raise UserError(key, None, expected, f'pip install "genimg-train[{service.extra}]"')


def check_allow_changes(config: Config) -> None:
    if config["allow_changes"] and config["resume"] is None:
        raise UserError("allow_changes", "true", "resume=RUN beside it; a new run may have any settings")


def resolve_init_from(config: Config) -> Config:
    """`init_from=` of a new run as the path of a run folder or a checkpoint file."""
    if config["init_from"] is None:
        if config["init_weights"] != "raw":
            raise UserError("init_weights", config["init_weights"], "init_from=RUN beside it, whose weights it chooses")
        return {}
    if config["resume"] is not None:  # where the resumed run began; the text is from a file
        return {}
    place = find_run(str(config["init_from"]), str(config["outputs"]), "init_from")
    if isinstance(place, RunFolder) and not place.has_checkpoint():
        raise UserError("init_from", place.path, "a run with a checkpoint; this one has none")
    return {"init_from": _absolute(place)}


def check_fit(config: Config) -> None:
    """model.fit=auto chooses the width of new weights, for a time, from the speed of one process."""
    if config["model"].get("fit") != "auto":
        return
    for key in ("resume", "init_from"):
        if config[key] is not None:
            expected = f"null with {key}=, whose weights have a width"
            raise UserError("model.fit", "auto", expected, "remove one of the two")
    if config["budget"]["minutes"] is None:
        expected = "minutes, for which model.fit=auto chooses a width"
        raise UserError("budget.minutes", "null", expected, "budget.minutes=10")
    trainer = config["trainer"]
    devices = 1 if trainer["devices"] == "auto" else trainer["devices"]
    if devices * trainer["num_nodes"] > 1:
        expected = "null with several processes: the speed of one is measured"
        raise UserError("model.fit", "auto", expected, "trainer.devices=1, or set model.width and data.batch_size")


def check_network(config: Config) -> None:
    """The chosen model/network defines the networks that the model needs, and none that only another model needs."""
    model = config["model"]
    needed = _declared_networks(str(model.get("_target_")))
    known = {name for target in _model_targets() for name in _declared_networks(target)}
    provided = {name: _networks(name) & known for name in groups(None)["model/network"]}
    found = known & model.keys()
    if needed and found != needed:
        suitable = " or ".join(name for name, nodes in provided.items() if nodes == needed)
        got = f"a network with {' and '.join(sorted(found))}"
        raise UserError("model/network", got, f"a network for {model.get('name')}: {suitable}")


def _model_targets() -> set[str]:
    """The classes of the models of this package."""
    choices = (all_keys("model", name, None) for name in groups(None)["model"])
    return {key.default for keys in choices for key in keys if key.name == "_target_"}


def _declared_networks(target: str) -> set[str]:
    """`network_nodes` of a model class of this package; empty for other targets."""
    try:
        return set(class_attribute(target, "network_nodes") or ()) if target.startswith("genimg.models.") else set()
    except LookupError:  # building the model reports an unknown class
        return set()


def _networks(choice: str) -> set[str]:
    """The nodes with a `_target_` that a choice of model/network defines."""
    names = {key.name for key in all_keys("model/network", choice, None)}
    return {name for name in names if f"{name}._target_" in names}


def check_kind(config: Config) -> None:
    """The model produces what the data contain: images or sequences."""
    target = str(config["model"].get("_target_"))
    try:
        wanted = class_attribute(target, "produces") if target.startswith("genimg.") else None
    except LookupError:  # building the model reports an unknown class
        wanted = None
    name = config["data"]["name"]
    if wanted is None or config["data"]["kind"] == wanted:
        return
    if wanted == "sequences":
        hint = f"data=moving_{name}" if find_page("data", f"moving_{name}", None) else "data=moving_digits"
        raise UserError("data", name, "sequences; this model produces sequences", hint=hint)
    still = name.removeprefix("moving_") if name.startswith("moving_") else "image_folder"
    hint = f"data={still}, or model=rnn for sequences"
    raise UserError("data", name, "still images; this model produces still images", hint=hint)


def check_given_frames(config: Config) -> None:
    """A clip has frames to predict beside the given ones."""
    given, frames = config["data"].get("given_frames", 1), config["data"].get("num_frames")
    if frames is not None and given >= frames:
        expected = f"fewer than the {frames} frames of a clip, data.num_frames"
        raise UserError("data.given_frames", given, expected, f"data.num_frames={2 * given}")
    if (of_model := config["model"].get("given_frames", given)) != given:
        raise UserError("model.given_frames", of_model, f"{given}, data.given_frames", f"data.given_frames={of_model}")


def check_labels(config: Config) -> None:
    if not config["model"].get("conditional"):
        return
    if (file := config["data"].get("test_file")) is not None:
        expected = "null for a conditional model; the clips of the file have no labels"
        raise UserError("data.test_file", file, expected, hint="model.conditional=false")
    if config["data"].get("num_classes") and config["data"].get("stills", 1) != 1:
        expected = "data with labels; clips of several still images have none"
        raise UserError("model.conditional", "true", expected, hint="data.stills=1")
    if not config["data"].get("num_classes"):
        hint = "put the images of each class in a separate folder" if _folders(config) else "model.conditional=false"
        raise UserError("model.conditional", "true", f"data with labels; {config['data']['name']} has none", hint=hint)


def check_num_classes(config: Config) -> None:
    model = config["model"]
    follows = config["data"].get("num_classes") if model.get("conditional") else 0
    if str(model.get("_target_")).startswith("genimg.") and model.get("num_classes", follows) != follows:
        expected = f"{follows}, which follows from model.conditional and the data"
        hint = "remove it" if model.get("conditional") else "remove it; for a conditional model: model.conditional=true"
        raise UserError("model.num_classes", model["num_classes"], expected, hint)


def check_actions(config: Config) -> None:
    """A model with actions has data with actions, and as many."""
    from genimg.data import actions  # imports OmegaConf, which completion does not wait for

    model, wanted = config["model"], config["model"].get("actions")
    follows = config["data"].get("num_actions", 0) if wanted else 0
    if str(model.get("_target_")).startswith("genimg.") and model.get("num_actions", follows) != follows:
        expected = f"{follows}, which follows from model.actions and the data"
        raise UserError("model.num_actions", model["num_actions"], expected, hint="remove it")
    if not wanted:
        return
    for source in _folders(config):
        root = Path(str(source.get("root")))
        if source["_target_"].endswith(".FrameFolder") and (root / actions.FILE).exists():
            actions.check_settings(source["frame_stride"], source["sheet"])
            actions.read_actions(root)
            return
    if wanted is True:
        expected = f"clips with actions; {config['data']['name']} has none"
        raise UserError("model.actions", "true", expected, f"data=frame_folder, and {actions.FILE} in data.root")


def check_batch_statistics(config: Config) -> None:
    """A gradient penalty is the gradient of one image's logit: the discriminator must not have batch statistics."""
    model = config["model"]
    if not model.get("batch_statistics"):
        return
    reason = "the discriminator has batch statistics (model.batch_statistics), and gradient penalties are per image"
    if model.get("objective") == "wasserstein":
        raise UserError("model.objective", "wasserstein", f"an objective without a gradient penalty; {reason}")
    gamma = model.get("gamma")
    if gamma == "auto" or max(gamma if isinstance(gamma, list) else [gamma or 0]) > 0:
        raise UserError("model.gamma", gamma, f"0; {reason}", hint="model.gamma=0")


def check_padding(config: Config) -> None:
    """A map that wraps around has no last line to leave out, so its sides double exactly from the coarsest map on."""
    model, given = config["model"], config["data"]["image_size"]
    if model.get("padding") != "circular" or not str(model.get("_target_")).startswith("genimg."):
        return
    sides = given if isinstance(given, list) else [given, given]
    smallest, factor = model["shape"]["smallest"], 1
    while -(-min(sides) // factor) > smallest:
        factor *= 2
    if any(side % factor for side in sides):
        near = [max(1, round(side / factor)) * factor for side in sides]
        fitting = near if isinstance(given, list) else near[0]
        expected = f"multiples of {factor} with model.padding=circular: every stage doubles the sides exactly"
        raise UserError("data.image_size", given, expected, hint=f"data.image_size={fitting}".replace(" ", ""))


def check_lr_schedule(config: Config) -> None:
    """1 / sqrt(progress) never reaches 0."""
    model = config["model"]
    if model.get("lr_schedule") == "inverse_sqrt" and model.get("final_lr") == 0:
        expected = "above 0 for model.lr_schedule=inverse_sqrt, which is constant in the first final_lr^2 of the run"
        raise UserError("model.final_lr", 0, expected, hint="model.final_lr=0.1")


def check_data_root(config: Config) -> None:
    for source in _folders(config):
        FOLDERS[source["_target_"]](source.get("root"), bool(source.get("follow_links")))
    if (file := config["data"].get("test_file")) is not None and not Path(file).expanduser().is_file():
        hint = "it is a folder" if Path(file).expanduser().is_dir() else "there is no such file"
        raise UserError("data.test_file", file, "an .npy file of clips", hint)


def _folders(config: Config) -> list[Config]:
    """The parts of the data that read the user's folder: the source, or the still images that move in it."""
    source = config["data"].get("source")
    parts = [source, source.get("of")] if isinstance(source, dict) else []
    return [part for part in parts if isinstance(part, dict) and part.get("_target_") in FOLDERS]


def check_devices(config: Config) -> None:
    accelerator, devices = config["trainer"]["accelerator"], config["trainer"]["devices"]
    gpus = count_gpus()
    if accelerator == "gpu" and gpus == 0:
        raise UserError("trainer.accelerator", "gpu", "auto or cpu; this machine has no GPU", hint="trainer=auto")
    if devices != "auto" and devices > 1 and accelerator != "cpu" and devices > gpus:
        expected = f"at most {gpus}, the GPUs of this machine" if gpus else "1; this machine has no GPU"
        hint = f"trainer.devices={gpus}" if gpus else "trainer.devices=1, or several CPU processes: trainer=cpu"
        raise UserError("trainer.devices", devices, expected, hint)


def check_half(config: Config) -> None:
    """float16 has gradients that are scaled, and few operations of a CPU."""
    trainer = config["trainer"]
    if trainer["precision"] != "16-mixed":
        return
    if trainer["fused"] is True:
        expected = "auto or false, because trainer.precision=16-mixed scales the gradients"
        raise UserError("trainer.fused", True, expected, "remove trainer.fused")
    if trainer["accelerator"] == "cpu" or count_gpus() == 0:
        hint = f"trainer.precision=auto{' allow_changes=true' if config['resume'] else ''}"
        raise UserError("trainer.precision", "16-mixed", "32-true or bf16-mixed, on a CPU", hint)


def check_processes(config: Config) -> None:
    trainer, launch, batch = config["trainer"], config["launch"], config["data"]["batch_size"]
    endpoint, num_nodes = launch["rdzv_endpoint"], trainer["num_nodes"]
    if num_nodes > 1 and endpoint is None and not ranks.is_distributed():
        hint = "launch.rdzv_endpoint=HOST:29400, an open port of the first machine"
        raise UserError("launch.rdzv_endpoint", None, "the rendezvous of the machines of trainer.num_nodes", hint)
    if endpoint is not None and not _is_endpoint(endpoint):
        hint = "launch.rdzv_endpoint=HOST:29400"
        raise UserError("launch.rdzv_endpoint", endpoint, "HOST:PORT with a port from 1 to 65535", hint)
    if launch["node_rank"] >= num_nodes:
        expected = f"0 to {num_nodes - 1}, for trainer.num_nodes={num_nodes}"
        raise UserError("launch.node_rank", launch["node_rank"], expected)
    processes = trainer["devices"] * num_nodes if trainer["devices"] != "auto" else 1
    if ranks.is_distributed() and processes != ranks.world_size():
        started = ranks.world_size()
        expected = (
            f"the number of processes that torchrun or srun has started: {started} processes on {num_nodes} machines"
        )
        raise UserError("trainer.devices", trainer["devices"], expected, f"trainer.devices={started // num_nodes}")
    if batch % processes:
        more = (batch // processes + 1) * processes
        expected = f"a multiple of {processes}: each of the trainer.devices * trainer.num_nodes takes an equal share"
        raise UserError("data.batch_size", batch, expected, f"data.batch_size={more}")


def check_groups(config: Config) -> None:
    """A batch is complete groups of images on each device, if the discriminator compares the images of groups."""
    group = config["model"].get("group_size", 1)
    trainer, batch = config["trainer"], config["data"]["batch_size"]
    processes = trainer["devices"] * trainer["num_nodes"] if trainer["devices"] != "auto" else 1
    share = batch // processes
    if str(config["model"].get("_target_")).startswith("genimg.") and share % group:
        hint = f"data.batch_size={processes * group * -(-share // group)}, or model.group_size=1"
        raise UserError("model.group_size", group, f"a divisor of the {share} images of a batch on each device", hint)


def _is_endpoint(text: str) -> bool:
    """Whether `text` is HOST:PORT with a host that torch accepts."""
    parts = re.fullmatch(r"(\[[\w.:]+\]|[\w.:-]+):(?P<port>\d+)", text, re.ASCII)
    return parts is not None and 0 < int(parts["port"]) < 2**16


def resolve_run(config: Config) -> Config:
    """`run=` as the path of a run folder or a checkpoint file."""
    return {"run": _absolute(find_run(str(config["run"]), str(config["outputs"])))}


def resolve_runs(config: Config) -> Config:
    """`runs=` as the paths of two or more run folders. A folder of runs stays one path, because it may be a sweep's."""
    given, folders = config["runs"], find_runs(config["runs"], str(config["outputs"]))
    if isinstance(given, str):
        return {"runs": _absolute(Path(given).expanduser())}
    return {"runs": [_absolute(folder) for folder in folders]}


def _absolute(place: Any) -> str:
    return str(path_of(place).absolute())


def check_study(config: Config) -> None:
    if (config["runs"] is None) == (config["results"] is None):
        got = "neither" if config["runs"] is None else "both"
        expected = "either runs=[A] for a new study, or study=FOLDER results=[...] to count its answers"
        raise UserError("runs", got, expected, "runs=[last]")
    if config["results"] is not None and config["study"] is None:
        raise UserError("study", None, "the folder of the study of results=", hint="study=outputs/studies/...")
    for path in _as_list(config["results"]):
        if not Path(path).expanduser().is_file():
            raise UserError("results", path, "a file that a rater saved", hint="there is no such file")


def resolve_rated_runs(config: Config) -> Config:
    """`runs=` as a list of paths of run folders or checkpoint files."""
    if config["runs"] is None:
        return {}
    found = [find_run(name, str(config["outputs"]), "runs") for name in _as_list(config["runs"])]
    return {"runs": [_absolute(place) for place in found]}


def check_images(config: Config) -> Config:
    """The given images exist. `start=run:RUN` becomes the path of the run."""
    found = {}
    if isinstance(start := config.get("start"), str) and start.startswith(OF_RUN):
        place = find_run(start.removeprefix(OF_RUN), str(config["outputs"]), "start")
        found["start"] = f"{OF_RUN}{_absolute(place)}"
    for key in ("start", "end", "reconstruct", "complete", "project"):
        for path in () if key in found else _as_list(config.get(key)):
            if not Path(path).expanduser().exists():
                raise UserError(key, path, "an image, a folder of images, or a list", hint="there is no such file")
    if (latents := config.get("latents")) is not None and not Path(latents).expanduser().is_file():
        expected = "the file latents.npz that project=IMAGE has written"
        raise UserError("latents", latents, expected, hint="there is no such file")
    return found


def check_crafter(config: Config) -> None:
    if config["out"] is None:
        raise UserError("out", None, "a new folder for the clips", "out=FOLDER")
    if config["num_frames"] is None:
        raise UserError("num_frames", "null", "the number of frames of a clip, 2 or more")
    if find_spec("crafter") is None:
        raise UserError("task", "crafter", "the package crafter, which draws it", 'pip install "genimg-train[crafter]"')
    check_empty(Path(config["out"]).expanduser())


def _as_list(given: Any) -> list[str]:
    return [] if given is None else [str(one) for one in (given if isinstance(given, list) else [given])]


def check_features(config: Config) -> None:
    name, known = str(config["features"]), registry("genimg.evaluation.features.choose", "EXTRACTORS")
    if name not in known and "." not in name:
        near = nearest(name, known)
        expected = f"{', '.join(known)}, or package.module.Class"
        raise UserError("features", name, expected, hint=f"did you mean features={near}?" if near else None)
    if config["weights"] is not None and name != "inception":
        expected = "null; only features=inception reads weights"
        raise UserError("weights", config["weights"], expected, hint="features=inception")


def check_files(config: Config) -> None:
    if not isinstance(config["cache"], bool | str):
        raise UserError("cache", config["cache"], "true, false or a folder")
    for key, kind, exists in (("weights", "a file", Path.is_file), ("root", "a folder", Path.is_dir)):
        given = config[key]
        if given is not None and not exists(Path(given).expanduser()):
            raise UserError(key, given, f"{kind} that exists, or null")
