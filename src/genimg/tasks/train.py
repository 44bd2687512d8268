"""task=train: fit a model, keep its checkpoints, then draw samples from the best."""

import logging
import tempfile
import warnings
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Callback, Trainer, seed_everything

from genimg.build import build, packaged
from genimg.callbacks.average import WeightAverage
from genimg.callbacks.checkpoints import Checkpoints
from genimg.callbacks.clock import Budget, Clock
from genimg.callbacks.find import find
from genimg.callbacks.metrics import DIVERGED, Metrics
from genimg.callbacks.signals import Signals
from genimg.checkpoints import Checkpoint, check_fits, load_checkpoint
from genimg.errors import UserError
from genimg.machine import Machine, choose
from genimg.models.base import GenerativeModel
from genimg.parallel import AveragedGradients, environment, gathered, join, leave
from genimg.ranks import restarts
from genimg.runs import RunFolder
from genimg.sampling import load
from genimg.tasks.dry_run import TIMED, StepTimer, report
from genimg.tasks.report import leave_report
from genimg.tasks.sample import SampleOptions, write_samples

log = logging.getLogger(__name__)

ROLLBACKS = 3  # at most, of health.on_divergence=rollback
STOPPED = (130, 143)  # exit codes after Ctrl-C and SIGTERM
FEW_PICTURES = 10_000  # under which a discriminator soon knows them by heart, so that what it sees is augmented


def run(config: dict[str, Any]) -> int:
    """Train as the configuration says and return the exit code: 0, 1 diverged, 130 or 143 stopped by a signal."""
    if config["dry_run"]:
        return try_out(config)
    machine = choose(config["trainer"])
    join(machine.device)
    config["run_dir"] = gathered(config["run_dir"])[0]  # that of the first process, whose command has made it
    folder = RunFolder(Path(config["run_dir"]))
    again = config["resume"] or (restarts() and folder.has_checkpoint())
    resume = newest_checkpoint(folder) if again else None
    if restarts():
        seen = resume["images_seen"] if resume else 0
        log.warning("a process died; all are started again (%d), at %s images", restarts(), f"{seen:,}")
    log.info("run       %s", folder.path)
    trainer = fit(config, machine, folder, resume)
    clock = find(trainer, Clock)
    leave()
    if not trainer.is_global_zero:
        return clock.exit_code
    if clock.exit_code == 0:
        try:
            draw_samples(folder, trusted(config))
        except OSError as error:
            log.error("error: the run is trained and its checkpoint kept, but no pictures were drawn: %s", error)
            return 1
    leave_report(folder)
    if clock.exit_code == 0:
        log.info("more with genimg sample run=%s num_images=64", folder.path)
    elif clock.exit_code in STOPPED:
        log.info("go on with: genimg-train resume=%s", folder.path)
    return clock.exit_code


def fit(config: dict[str, Any], machine: Machine, folder: RunFolder, resume: Checkpoint | None) -> Trainer:
    """Trains, and returns the trainer with what it came to.

    With health.on_divergence=rollback a figure that is not finite is answered with half the learning rate, from the
    last checkpoint, so many times as `ROLLBACKS` says.
    """
    while True:
        data, model = prepare(config, machine, resume)
        trainer = make_trainer(config, machine, data, resume)
        clock = find(trainer, Clock)
        if clock.spent and not ended_whole(folder):
            log.info("trained before; only its pictures and its page are missing")
            return trainer
        if clock.spent:
            raise UserError(
                key="resume",
                got=f"a run whose budget is spent, at {clock.images_seen:,} images",
                expected="a larger budget",
                hint=f"resume={config['resume']} budget.images={2 * clock.images_seen}",
            )
        trainer.fit(model, datamodule=data)
        log.info("trained   %s images in %.0f s; %s", f"{clock.images_seen:,}", clock.seconds, besides(trainer))
        gathered(None)  # until the first process has written what the others read
        back = clock.exit_code == DIVERGED and config["health"]["on_divergence"] == "rollback"
        if not back or model.rollbacks == ROLLBACKS or not folder.has_checkpoint():
            return trainer
        resume = newest_checkpoint(folder)
        resume["rollbacks"] = model.rollbacks + 1
        log.warning(
            "rollback  %d of %d: back to %s images, the learning rate halved",
            resume["rollbacks"],
            ROLLBACKS,
            f"{resume['images_seen']:,}",
        )


def trusted(config: dict[str, Any], group: str | None = None) -> tuple[str, ...] | None:
    """Whose classes a configuration may name: anyone's where the user composed it; a resumed one may be a stranger's.

    group: of our own YAML, whose classes it may name too.
    """
    if not config["resume"]:
        return None
    return (*config["trust"], *(packaged(group) if group else ()))


def ended_whole(folder: RunFolder) -> bool:
    """Whether the last thing a run leaves, its page, is there and was written after the last checkpoint."""
    page, last = folder.report, folder.last
    return page.exists() and (not last.exists() or page.stat().st_mtime_ns >= last.stat().st_mtime_ns)


def try_out(config: dict[str, Any]) -> int:
    """A few real steps in a temporary run folder, and what they tell of the whole run."""
    machine = choose(config["trainer"])
    join(machine.device)
    with tempfile.TemporaryDirectory(prefix="genimg-") as run_dir:
        unlimited = {"images": None, "epochs": None, "minutes": 60}
        bare = {**config, "callbacks": {}, "logger": {}, "run_dir": run_dir, "budget": unlimited}
        data, model = prepare(config, machine, None)
        timer = StepTimer(TIMED)
        trainer = make_trainer(bare, machine, data, None, timer)
        trainer.fit(model, datamodule=data)
        if exit_code := find(trainer, Clock).exit_code:
            return exit_code
        if trainer.is_global_zero:
            report(config, trainer, model, data, timer)
    return 0


def newest_checkpoint(folder: RunFolder) -> Checkpoint:
    """The last checkpoint of a run to go on from; where it is missing or damaged, the newest that is not."""
    found: list[Checkpoint] = []
    problems: list[UserError] = []
    for file in (folder.last, folder.previous, folder.best):
        try:
            found += [load_checkpoint(file, key="resume")] if file.exists() else []
        except UserError as error:
            problems.append(error)
        if file == folder.last and found:
            return found[0]
    if not found:
        raise problems[0] if problems else UserError("resume", str(folder.path), "a run with a checkpoint")
    newest = max(found, key=lambda checkpoint: checkpoint["images_seen"])
    why = "; ".join(str(error).splitlines()[0] for error in problems) or "there is none"
    log.warning("no last checkpoint to read (%s): going on from an older one, at %s images", why, newest["images_seen"])
    return newest


def prepare(config: dict[str, Any], machine: Machine, resume: Checkpoint | None) -> tuple[Any, GenerativeModel]:
    """The data, loaded, and the model, on its way to the device; both continue from `resume` if there is one."""
    seed_everything(config["seed"], verbose=False)
    data = build(config["data"], trusted(config, "data"))
    data.setup("fit")
    if config["model"].get("conditional") and not data.classes:
        raise UserError(key="model.conditional", got=True, expected="data with labels", hint=f"{data.name} has none")
    few = data.num_items < FEW_PICTURES
    answers = {"fused": machine.fused, "policy": ["translation"] if few else []}
    config["model"] = answered(config["model"], answers)  # as built: the checkpoint keeps it so
    if resume is not None:
        check_fits(config["model"], resume["model"], trusted(config), key="resume")
    model: GenerativeModel = build(config["model"], trusted(config))
    if hasattr(model, "remember_starts"):  # so that a checkpoint animates something without the data
        batches = list(data.val_dataloader())
        labels = torch.cat([batch["labels"] for batch in batches]) if data.classes else None
        first_frames = torch.cat([batch["images"][:, 0] for batch in batches])
        model.remember_starts(first_frames, labels)  # pyright: ignore[reportCallIssue]
    if resume is not None:
        if resume["data"]["fingerprint"] != data.fingerprint:
            raise UserError(
                key="resume",
                got=f"data {data.fingerprint}",
                expected=f"the data that the run began with, {resume['data']['fingerprint']}",
            )
        model.load_state_dict(resume["model"])
        model.rollbacks = resume["rollbacks"]
        data.images_seen = resume["images_seen"]
    log.info("machine   %s", machine)
    log.info("data      %s", describe_data(data))
    log.info("model     %s", describe_model(model))
    return data, model.to(memory_format=machine.memory_format)  # pyright: ignore[reportCallIssue]


def answered(node: Any, answers: dict[str, Any]) -> Any:
    """A configuration node with `key: auto` replaced by `answers[key]` wherever it stands."""
    if isinstance(node, dict):
        asked = {name for name, value in node.items() if value == "auto" and name in answers}
        return {name: answers[name] if name in asked else answered(value, answers) for name, value in node.items()}
    return node


def make_trainer(
    config: dict[str, Any], machine: Machine, data: Any, resume: Checkpoint | None, *extra: Callback
) -> Trainer:
    """Lightning's Trainer with the run's callbacks and loggers, and none of its own habits."""
    budget = Budget.of(**config["budget"], num_items=data.num_items)
    clock, average = Clock(budget, data.batch_size), WeightAverage(**config["average"])
    if resume is not None:
        clock.load_state_dict(resume["clock"])
        average.load_state_dict(resume["ema"])
    callbacks: list[Callback] = [
        clock,  # first: the others ask it what is due
        average,
        Metrics(config["log_every_steps"], hyperparameters(config)),
        *(build(node, trusted(config, "callbacks")) for node in config["callbacks"].values()),
        *extra,
        Signals(),
        Checkpoints(config, **config["checkpoint"], resume=resume),  # last: it sees the step whole
    ]
    quiet_lightning()
    trainer = Trainer(
        accelerator=machine.accelerator,
        devices=machine.devices,
        num_nodes=machine.num_nodes,
        strategy=AveragedGradients() if machine.processes > 1 else "auto",
        plugins=[environment()],
        sync_batchnorm=machine.processes > 1 and machine.accelerator == "gpu",  # torch has it for GPUs only
        precision=machine.precision,  # pyright: ignore[reportArgumentType]
        callbacks=callbacks,
        logger=[build(node, trusted(config, "logger")) for node in loggers(config, clock.images_seen)],
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
    return trainer


def hyperparameters(config: dict[str, Any]) -> dict[str, Any]:
    """What one would compare runs by: the plain values of the model and the data, and the seed."""
    flat = {f"{group}/{name}": value for group in ("model", "data") for name, value in config[group].items()}
    shown = {name: value for name, value in flat.items() if isinstance(value, bool | int | float | str)}
    return {"seed": config["seed"], **shown}


def loggers(config: dict[str, Any], images_seen: int) -> list[dict[str, Any]]:
    """The loggers' nodes; TensorBoard's is told from where on a resumed run writes again."""
    nodes = [dict(node) for node in config["logger"].values()]
    for node in nodes:
        if node["_target_"].endswith(".TensorBoardLogger") and images_seen:
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


def besides(trainer: Trainer) -> str:
    """What the callbacks took of the time, those that count it."""
    callbacks: list[Any] = trainer.callbacks  # pyright: ignore[reportAttributeAccessIssue]
    spent = {type(c).__name__: c.seconds_spent for c in callbacks if getattr(c, "seconds_spent", 0) > 0}
    return "of these " + ", ".join(f"{name} {seconds:.1f} s" for name, seconds in spent.items())


def draw_samples(folder: RunFolder, trust: tuple[str, ...] | None) -> None:
    """Sample from the best checkpoint as `task=sample` would, into RUN/samples/final."""
    sampler = load(folder.path, trust=trust)
    options = SampleOptions(interpolate=None if sampler.makes_sequences else 8)
    first_look = write_samples(sampler, options, folder.samples / "final")
    log.info("pictures  %s", first_look)
