"""What a training run is made of, by its configuration: data, model, and Lightning's Trainer with its callbacks."""

import logging
import warnings
from typing import Any

import torch
from pytorch_lightning import Callback, Trainer, seed_everything
from pytorch_lightning.strategies import Strategy

from genimg.checkpoints.read import Checkpoint, check_fits, check_weights
from genimg.common.build import build, packaged
from genimg.common.errors import UserError
from genimg.common.ranks import rank
from genimg.common.run_config import mapped
from genimg.distributed.batch_norm import SynchronizedLayers
from genimg.distributed.data_parallel import AveragedGradients, environment
from genimg.models.base import GenerativeModel, KeepsStarts
from genimg.training.callbacks.checkpoints import Checkpoints
from genimg.training.callbacks.clock import Budget, Clock
from genimg.training.callbacks.ema import EMA
from genimg.training.callbacks.metrics import Metrics
from genimg.training.callbacks.signals import Signals
from genimg.training.machine import Machine

log = logging.getLogger(__name__)

FEW_IMAGES = 10_000  # under which a discriminator soon knows them by heart, so that what it sees is augmented


def trusted(config: dict[str, Any], group: str | None = None) -> tuple[str, ...] | None:
    """Whose classes a configuration may name: anyone's where the user composed it; a resumed one may be a stranger's.

    group: of our own YAML, whose classes it may name too.
    """
    if not config["resume"]:
        return None
    return (*config["trust"], *(packaged(group) if group else ()))


def prepare(config: dict[str, Any], machine: Machine, resume: Checkpoint | None) -> tuple[Any, GenerativeModel]:
    """The data, loaded, and the model, on its way to the device; both continue from `resume` if there is one."""
    seed_everything(config["seed"], verbose=False)
    data = build(config["data"], trusted(config, "data"), "data")
    data.setup("fit")
    if config["model"].get("conditional") and not data.classes:
        raise UserError(key="model.conditional", got=True, expected="data with labels", hint=f"{data.name} has none")
    few = data.num_items < FEW_IMAGES
    answers = {"fused": machine.fused, "policy": ["translation"] if few else []}
    config["model"] = answered(config["model"], answers)  # as built: the checkpoint keeps it so
    if resume is not None:
        check_fits(config["model"], resume["model"], trusted(config), key="resume")
    model: GenerativeModel = build(config["model"], trusted(config), "model")
    check_optimizers(model, config["model"])
    if isinstance(model, KeepsStarts):  # so that a checkpoint animates something without the data
        batches = list(data.val_dataloader())
        labels = torch.cat([batch["labels"] for batch in batches]) if data.classes else None
        first_frames = torch.cat([batch["images"][:, 0] for batch in batches])
        model.keep_starts(first_frames, labels)
    if resume is not None:
        if resume["data"]["fingerprint"] != data.fingerprint and not config["allow_changes"]:
            raise UserError(
                key="resume",
                got=f"data {data.fingerprint}",
                expected=f"the data that the run began with, {resume['data']['fingerprint']}",
                hint="to go on with these: allow_changes=true",
            )
        check_weights(model, {**resume["model"], **resume["ema"]}, key="resume")
        model.load_state_dict(resume["model"])
        data.images_seen = resume["images_seen"]
    log.info("machine   %s", machine)
    log.info("data      %s", describe_data(data))
    log.info("model     %s", describe_model(model))
    return data, model.to(memory_format=machine.memory_format)  # pyright: ignore[reportCallIssue]


def check_optimizers(model: GenerativeModel, node: dict[str, Any]) -> None:
    """UserError for an optimizer that does not take what the YAML gives ours: RMSprop has no `betas`."""
    try:
        model.configure_optimizers()
    except (TypeError, ValueError) as error:
        keys = [f"model.{name}" for name, part in node.items() if isinstance(part, dict) and part.get("_partial_")]
        hint = f"~{keys[0]}.NAME leaves one out; +{keys[0]}.NAME=VALUE adds one"
        raise UserError(" or ".join(keys), "an optimizer", f"arguments that it takes: {error}", hint) from error


def answered(node: Any, answers: dict[str, Any]) -> Any:
    """A configuration node with `key: auto` replaced by `answers[key]` wherever it stands."""
    return mapped(node, lambda name, value: answers.get(name, value) if value == "auto" else value)


def make_trainer(
    config: dict[str, Any], machine: Machine, data: Any, resume: Checkpoint | None, *extra: Callback
) -> Trainer:
    """Lightning's Trainer with the run's callbacks and loggers, and none of its own habits."""
    budget = Budget.of(**config["budget"], num_items=data.num_items)
    clock, ema = Clock(budget, data.batch_size), EMA(**config["ema"])
    if resume is not None:
        clock.load_state_dict(resume["clock"])
        ema.load_state_dict(resume["ema"])
    callbacks: list[Callback] = [
        clock,  # first: the others ask it what is due
        ema,
        Metrics(
            config["log_every_steps"],
            hyperparameters(config),
            # only the first process writes, and of another's command no setting knows the run's folder
            [
                build(node, trusted(config, "logger"), "logger")
                for node in loggers(config, clock.images_seen)
                if rank() == 0
            ],
        ),
        *(build(node, trusted(config, "callbacks"), f"callbacks.{name}") for name, node in config["callbacks"].items()),
        *extra,
        Signals(),
        Checkpoints(config, **config["checkpoint"], resume=resume),  # last: it sees the step whole
    ]
    quiet_lightning()
    trainer = Trainer(
        accelerator=machine.accelerator,
        devices=machine.devices,
        num_nodes=machine.num_nodes,
        strategy=strategy(machine),
        plugins=[environment(), SynchronizedLayers()],
        precision=machine.precision,  # pyright: ignore[reportArgumentType]
        callbacks=callbacks,
        logger=False,  # `Metrics` brings them: Lightning would open their files where a full disk ends the run
        default_root_dir=config["run_dir"],
        max_epochs=-1,  # the clock ends the run
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_val_batches=0,  # validation is a callback: it must follow the clock
        use_distributed_sampler=False,
    )
    # Lightning would ask all processes before each step whether one has a signal, and wait for the GPU to hear it; the
    # clock asks after each step
    trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor = lambda: None
    # nor its own handler of SIGTERM, which sends the others a message from wherever it is: `Signals` hears it
    trainer._signal_connector.register_signal_handlers = lambda: None
    return trainer


def strategy(machine: Machine) -> Strategy | str:
    """How its processes train one model together; one alone has nobody to agree with."""
    if machine.processes == 1:
        return "auto"
    return AveragedGradients() if machine.strategy in ("auto", "ddp") else machine.strategy


def hyperparameters(config: dict[str, Any]) -> dict[str, Any]:
    """What one would compare runs by: the seed and the plain values of the model and the data, which have names besides
    their classes.
    """
    flat = {f"{group}/{name}": value for group in ("model", "data") for name, value in config[group].items()}
    plain = {name: value for name, value in flat.items() if isinstance(value, bool | int | float | str)}
    if plain.get("data/seed") == config["seed"]:  # as it is unless the data were given one of their own
        del plain["data/seed"]
    return {"seed": config["seed"], **{name: value for name, value in plain.items() if not name.endswith("/_target_")}}


def loggers(config: dict[str, Any], images_seen: int) -> list[dict[str, Any]]:
    """The loggers' nodes; TensorBoard's is told from where on a run that is resumed, or begins anew, writes again."""
    nodes = [dict(node) for node in config["logger"].values()]
    for node in nodes:
        if node["_target_"].endswith(".TensorBoardLogger"):
            node["purge_step"] = images_seen + 1
    return nodes


def quiet_lightning() -> None:
    """Lightning's advice is about settings this project has made already, and hardware it has told of."""
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    logging.getLogger("lightning_fabric").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"(pytorch_lightning|lightning_fabric)\..*")
    torch.set_float32_matmul_precision("high")


def describe_data(data: Any) -> str:
    """One line: what, how many, of which shape."""
    frames = f"{data.num_frames} frames of " if data.num_frames else ""
    channels, height, width = data.image_shape
    classes = f", {len(data.classes)} classes" if data.classes else ""
    return f"{data.name}: {data.num_items:,} items of {frames}{height} x {width} x {channels}{classes}"


def describe_model(model: GenerativeModel) -> str:
    """One line: the networks and their parameters."""
    counts = ", ".join(f"{name} {count:,}" for name, count in model.parameter_counts().items())
    return f"{type(model).__name__}: {counts} parameters"
