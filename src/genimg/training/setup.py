"""Builds a training run from its settings: data, model, and Lightning's Trainer with its callbacks."""

import difflib
import logging
import math
import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning import Callback, Trainer, seed_everything
from pytorch_lightning.callbacks import Checkpoint as LightningCheckpoint
from pytorch_lightning.plugins import MixedPrecision
from pytorch_lightning.strategies import Strategy

from genimg.checkpoints.read import check_fits, check_weights
from genimg.checkpoints.schema import Checkpoint
from genimg.common.build import Builder
from genimg.common.errors import UserError
from genimg.common.hardware import count_cores, cpu_quota
from genimg.common.run_folder import RunFolder
from genimg.common.settings import Node
from genimg.data.module import GenerativeData
from genimg.distributed.batch_norm import SynchronizedLayers
from genimg.distributed.data_parallel import AveragedGradients, cluster_environment
from genimg.models.base import GenerativeModel, KeepsStarts, TakesActions
from genimg.training import lightning_api
from genimg.training.accumulate import accumulate
from genimg.training.callbacks.base import RunCallback, RunContext
from genimg.training.callbacks.checkpoints import Checkpoints
from genimg.training.callbacks.clip import ClipGradients
from genimg.training.callbacks.clock import Budget, Clock
from genimg.training.callbacks.ema import EMA
from genimg.training.callbacks.metrics import Metrics
from genimg.training.callbacks.signals import Signals
from genimg.training.callbacks.step_graph import StepGraph
from genimg.training.callbacks.threads import SharedProcessor
from genimg.training.initial import ema_settings, freeze, take_weights
from genimg.training.lightning_api import refused
from genimg.training.loggers import build_loggers
from genimg.training.machine import Machine
from genimg.training.memory import check_memory, check_step
from genimg.training.profilers import build_profiler
from genimg.training.settings import TrainSettings, resolve_auto

log = logging.getLogger(__name__)

FEW_IMAGES = 10_000  # below this a discriminator soon memorises the images, so its inputs are augmented
PIXELS_PER_GAMMA = 2048  # R1 and R2 sum over pixels; at 64 x 64 pixels gamma begins at 2, as in R3GAN's FFHQ-64


def build_run(
    settings: TrainSettings,
    machine: Machine,
    resume: Checkpoint | None = None,
    extra_callbacks: Sequence[Callback] = (),
    data: GenerativeData | None = None,
) -> tuple[Trainer, RunContext]:
    """Returns the Trainer of a run and the parts of the run. `trainer.fit(run.model, datamodule=run.data)` trains.

    Args:
        resume: the checkpoint to continue from.
        extra_callbacks: used after the configured ones.
        data: as `build_data` returns it; None loads it.
    """
    builder = Builder(settings.trust)
    seed_everything(settings.seed, verbose=False)
    data = data or build_data(settings, builder)
    settings = replace(settings, model=resolve_auto(settings.model, automatic(data, machine)))
    model = build_model(settings, builder, data, resume)
    averages = take_weights(settings, model)
    if resume is not None:
        restore_weights(settings, model, data, resume)
    freeze(model, settings.freeze)
    accumulate(model, settings.trainer.accumulate_grad_batches)
    check_step(model, data, machine)
    model = model.to(memory_format=machine.layout)  # pyright: ignore[reportCallIssue]

    folder = RunFolder(settings.run_dir)
    clock = Clock(Budget.from_settings(settings.budget, data.num_items, data.step_size), data.step_size)
    ema = EMA(model, clock, ema_settings(settings))
    if resume is None:
        ema.begin_with(averages)
    else:
        ema.load_state_dict({"weights": resume["ema"], **resume["averages"]})
        clock.restore(resume["images_seen"], resume["clock"]["seconds"], resume["clock"]["expected_images"])
    loggers = build_loggers(settings, builder, clock.images_seen)
    metrics = Metrics(model, clock, folder, settings.log_every_steps, hyperparameters(settings), loggers)
    checkpoints = Checkpoints(settings, folder, data, model, clock, ema, metrics, resume)
    run = RunContext(settings, folder, data, model, clock, ema, metrics, checkpoints)
    configured = build_callbacks(settings, builder)
    # the clock comes first, because the others read it; checkpoints come last, because they store what a step changed
    graph = StepGraph(model, machine)
    trainer = settings.trainer
    limit = trainer.gradient_clip_val
    clip = [] if limit is None else [ClipGradients(limit, trainer.gradient_clip_algorithm)]
    ours = [clock, *shared_processor(settings, machine, clock), graph, ema, metrics, *clip]
    callbacks = [*ours, *configured, *extra_callbacks, Signals(clock), checkpoints]
    for callback in callbacks:
        if isinstance(callback, RunCallback):
            callback.context = run
    try:
        return build_trainer(settings, machine, callbacks), run
    except (MisconfigurationException, RuntimeError) as error:
        raise refused(callbacks, error) from error


def shared_processor(settings: TrainSettings, machine: Machine, clock: Clock) -> list[Callback]:
    """Returns what follows the load of a CPU, for a run that ends at a time and chooses its threads itself."""
    by_user = "OMP_NUM_THREADS" in os.environ and "GENIMG_BUSY" not in os.environ
    fixed = settings.trainer.threads is not None or by_user or clock.budget.images is not None
    fixed = fixed or math.isfinite(cpu_quota())  # of a container, in which the load of all cores says nothing
    if fixed or machine.accelerator != "cpu" or machine.processes > 1:
        return []
    return [SharedProcessor(machine.threads, most=count_cores())]


def automatic(data: GenerativeData, machine: Machine) -> dict[str, Any]:
    """Returns what `auto` means in a model's configuration, by the name of the key."""
    channels, height, width = data.image_shape
    gamma = height * width / PIXELS_PER_GAMMA
    return {
        "fused": machine.fused,
        "policy": ["translation"] if data.num_items < FEW_IMAGES else [],
        "gamma": [gamma, gamma / 2],
        "actions": bool(data.actions),
        "likelihood": "bernoulli" if channels == 1 else "discretized_logistic",
        "adversarial": 0.0 if channels == 1 else 0.5,
        "distribution": "categorical" if channels == 1 else "logistic_mixture",
    }


def build_data(settings: TrainSettings, builder: Builder) -> GenerativeData:
    """Returns the data module, with its training and validation items loaded."""
    data: GenerativeData = builder.build(settings.data, "data", "data")
    data.batches_per_step = settings.trainer.accumulate_grad_batches
    data.setup("fit")
    if settings.model.get("conditional") and not data.classes:
        raise UserError(key="model.conditional", got=True, expected="data with labels", hint=f"{data.name} has none")
    return data


def build_model(
    settings: TrainSettings, builder: Builder, data: GenerativeData, resume: Checkpoint | None
) -> GenerativeModel:
    """Returns the model with its initial weights, if its configuration fits the checkpoint to resume from."""
    node = settings.model
    if resume is not None:
        check_fits(node, resume["model"], builder, key="resume")
    check_memory(node, builder)
    model: GenerativeModel = builder.build(node, "model")
    check_optimizers(model, node)
    if isinstance(model, KeepsStarts):  # so that a checkpoint can animate without the data
        batches = list(data.val_dataloader())
        labels = torch.cat([batch["labels"] for batch in batches]) if data.classes else None
        starts = [batch["images"][:, : model.given_frames] for batch in batches]
        model.keep_starts(torch.cat(starts), labels)
    if isinstance(model, TakesActions) and data.action_shares is not None:
        model.keep_actions(data.action_shares)
    return model


def restore_weights(
    settings: TrainSettings, model: GenerativeModel, data: GenerativeData, checkpoint: Checkpoint
) -> None:
    """Loads the weights and the position in the data. UserError if the data or the shapes of the weights changed."""
    if checkpoint["data"]["fingerprint"] != data.fingerprint and not settings.allow_changes:
        raise UserError(
            key="resume",
            got=f"data {data.fingerprint}",
            expected=f"the data of the run, {checkpoint['data']['fingerprint']}",
            hint="to continue with the new data: allow_changes=true",
        )
    for average in (checkpoint["ema"], *checkpoint["averages"]["others"].values()):
        check_weights(model, {**checkpoint["model"], **average}, key="resume")
    model.load_state_dict(checkpoint["model"])
    data.images_seen = checkpoint["images_seen"]


def check_optimizers(model: GenerativeModel, node: Node) -> None:
    """Raises UserError for an optimizer that does not accept the arguments in the YAML: RMSprop has no `betas`."""
    try:
        model.configure_optimizers()
    except (TypeError, ValueError) as error:
        keys = [f"model.{name}" for name, part in node.items() if isinstance(part, dict) and part.get("_partial_")]
        hint = f"~{keys[0]}.NAME removes an argument; +{keys[0]}.NAME=VALUE adds one"
        raise UserError(" or ".join(keys), "an optimizer", f"arguments that it accepts: {error}", hint) from error


def build_callbacks(settings: TrainSettings, builder: Builder) -> list[Callback]:
    """Returns the callbacks of the configuration. Raises UserError for a class that is none of Lightning's."""
    found = {name: builder.build(node, f"callbacks.{name}", "callbacks") for name, node in settings.callbacks.items()}
    for name, callback in found.items():
        if not isinstance(callback, Callback):
            raise UserError(f"callbacks.{name}._target_", type(callback).__name__, "a callback of Lightning")
    return list(found.values())


def build_trainer(settings: TrainSettings, machine: Machine, callbacks: list[Callback]) -> Trainer:
    """Returns Lightning's Trainer. Loggers, checkpoints, progress and validation are callbacks of this package."""
    lightning_api.silence()
    torch.set_float32_matmul_precision("high")
    trainer = Trainer(
        accelerator=machine.accelerator,
        devices=machine.devices,
        num_nodes=machine.num_nodes,
        strategy=choose_strategy(machine),
        plugins=[cluster_environment(), SynchronizedLayers(), *half_on_cpu(machine)],
        precision=None if machine.scaled else machine.precision,  # pyright: ignore[reportArgumentType]
        callbacks=callbacks,
        logger=False,  # `Metrics` attaches them: Lightning would open files where a full disk ends the run
        default_root_dir=settings.run_dir,
        detect_anomaly=settings.trainer.detect_anomaly,
        profiler=build_profiler(settings.trainer.profiler, settings.run_dir),
        max_epochs=-1,  # the clock ends the run
        # of a callback of Lightning's; our own are a callback of another class
        enable_checkpointing=any(isinstance(one, LightningCheckpoint) for one in callbacks),
        log_every_n_steps=settings.log_every_steps,
        # callbacks of others then act at the end of a validation (`Measurement.run_measurement`), not of an epoch
        check_val_every_n_epoch=None,
        val_check_interval=10**9,
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_val_batches=0,  # validation is a callback, because it follows the clock
        use_distributed_sampler=False,
    )
    lightning_api.disable_signal_handling(trainer)
    return trainer


def half_on_cpu(machine: Machine) -> list[MixedPrecision]:
    """Returns what computes in float16 on a CPU, as the tests do: by its name, Lightning takes bfloat16 there."""
    return [MixedPrecision("16-mixed", "cpu")] if machine.scaled and machine.accelerator == "cpu" else []


def choose_strategy(machine: Machine) -> Strategy | str:
    """Returns how several processes train one model.

    `auto` and `ddp` are this package's `AveragedGradients`, which the tests cover. Any other name is passed to
    Lightning and is not tested here: resuming bit for bit and recovery after a lost process hold for `ddp` only.

    Raises:
        UserError: for a name that Lightning does not know.
    """
    name, known = machine.strategy, lightning_api.strategy_names()
    if name not in ("auto", *known):
        near = difflib.get_close_matches(name, ["auto", *known], n=1)
        hint = f"did you mean {near[0]}?" if near else f"one of {', '.join(known)}"
        raise UserError("trainer.strategy", name, "auto, ddp, or the name of a Lightning strategy", hint)
    if machine.processes == 1:
        return "auto"
    return AveragedGradients() if name in ("auto", "ddp") else name


def hyperparameters(settings: TrainSettings) -> dict[str, Any]:
    """Returns the settings to compare runs by: the seed, and the plain values of the model and the data."""
    nodes = {"model": settings.model, "data": settings.data}
    flat = {f"{group}/{name}": value for group, node in nodes.items() for name, value in node.items()}
    plain = {name: value for name, value in flat.items() if isinstance(value, bool | int | float | str)}
    if plain.get("data/seed") == settings.seed:  # the default
        del plain["data/seed"]
    return {"seed": settings.seed, **{name: value for name, value in plain.items() if not name.endswith("/_target_")}}


def log_parts(machine: Machine, run: RunContext) -> None:
    """Logs what trains where."""
    log.info("machine   %s", machine)
    log.info("data      %s", describe_data(run.data))
    log.info("model     %s", describe_model(run.model))


def describe_data(data: GenerativeData) -> str:
    """Returns one line: name, number of items, shape."""
    frames = f"{data.num_frames} frames of " if data.num_frames else ""
    channels, height, width = data.image_shape
    classes = f", {len(data.classes)} classes" if data.classes else ""
    actions = f", {len(data.actions)} actions" if data.actions else ""
    return f"{data.name}: {data.num_items:,} items of {frames}{height} x {width} x {channels}{classes}{actions}"


def describe_model(model: GenerativeModel) -> str:
    """Returns one line: the networks and their parameters."""
    counts = ", ".join(f"{name} {count:,}" for name, count in model.parameter_counts().items())
    return f"{type(model).__name__}: {counts} parameters"
