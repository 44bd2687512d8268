"""The training loop: `run` trains a model, keeps its checkpoints, and draws samples from the best one.

Lightning's Trainer iterates over the batches and calls, in each step and in this order:

    data.on_after_batch_transfer    uint8 to [-1, 1], on the device
    Clock.on_train_batch_start      sets the learning rates and `progress`
    model.training_step             losses and optimizer steps; returns the metrics of the step
    on_train_batch_end of
        Clock                       counts the images; stops the run when the budget is spent or a signal has arrived
        EMA                         averages the weights
        Metrics                     every `log_every_steps`: a row of metrics.jsonl; stops a run that diverged
        the configured callbacks    validation, samples, health, progress, ... in the order of configs/callbacks
        Signals, Checkpoints        the log line of a signal; `last.pt`
"""

import logging
import math
import os
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning import Callback, Trainer

from genimg.checkpoints.read import load_newest
from genimg.checkpoints.schema import Checkpoint
from genimg.common.errors import STOPPED, PeerLost, UserError
from genimg.common.hardware import count_cores
from genimg.common.quoting import doubled, word
from genimg.common.ranks import has_agent_store, restarts
from genimg.common.run_folder import RunFolder
from genimg.distributed.data_parallel import all_gather, join, leave
from genimg.report.write import leave_report
from genimg.sampling.load import load
from genimg.sampling.output.options import SampleOptions
from genimg.sampling.output.write import write_samples
from genimg.training.callbacks.base import RunCallback, RunContext
from genimg.training.callbacks.checkpoints import Checkpoints
from genimg.training.callbacks.metrics import DIVERGED
from genimg.training.changes import log_changes
from genimg.training.dry_run import dry_run
from genimg.training.lightning_api import others, refused
from genimg.training.machine import Machine, configure
from genimg.training.probe import probe
from genimg.training.settings import TrainSettings
from genimg.training.setup import build_run, log_parts

log = logging.getLogger(__name__)

MAX_ROLLBACKS = 3  # with health.on_divergence=rollback


def run(config: dict[str, Any], extra_callbacks: Sequence[Callback] = ()) -> int:
    """Trains a model and draws samples from it.

    Args:
        config: the resolved configuration.
        extra_callbacks: Lightning callbacks besides the configured ones.

    Returns:
        The exit code: 0; 1 if training diverged; 130 or 143 after a signal.
    """
    settings = TrainSettings.from_config(config)
    machine = configure(settings.trainer)
    rendezvous = join(machine.device)
    if "candidates" in config:
        return probe(settings, config["candidates"], machine)
    if settings.dry_run:
        return dry_run(settings, machine)
    # of rank 0's command: the others created no folder, and may have found another run
    run_dir, init_from = Path(all_gather(str(settings.run_dir))[0]), all_gather(settings.init_from)[0]
    settings = replace(settings, run_dir=run_dir, init_from=init_from)
    folder = RunFolder(settings.run_dir)
    resume = load_newest(folder) if settings.resume or (restarts() and folder.has_checkpoint()) else None
    log_start(folder, machine, resume)
    trainer, exit_code = fit(settings, machine, folder, resume, extra_callbacks)
    leave()
    if trainer.is_global_zero:
        exit_code = finish(folder, settings.trust, exit_code)
        if rendezvous is not None:
            rendezvous.mark_finished()
    elif rendezvous is not None and has_agent_store():  # if rank 0 dies meanwhile, it needs the others to start again
        rendezvous.wait_for_finish()
    return exit_code


def fit(
    settings: TrainSettings,
    machine: Machine,
    folder: RunFolder,
    resume: Checkpoint | None,
    extra_callbacks: Sequence[Callback],
) -> tuple[Trainer, int]:
    """Trains, and returns the trainer and the exit code.

    With health.on_divergence=rollback, training that diverged restarts from the last checkpoint with half the learning
    rate, at most `MAX_ROLLBACKS` times. Without a checkpoint it restarts from the initial weights.
    """
    rollbacks = resume["rollbacks"] if resume else 0
    while True:
        trainer, run = build_run(settings, machine, resume, extra_callbacks)
        log_parts(machine, run)
        run.model.rollbacks = rollbacks
        if run.clock.spent:
            check_unfinished(run)
            all_gather(None)  # all processes have looked before rank 0 changes the folder
            return trainer, run.clock.exit_code
        if resume is not None and rollbacks == resume["rollbacks"]:  # not after a rollback in this session
            log_changes(run.settings.stored, run.data.fingerprint, resume)
        train(trainer, run)
        clock = run.clock
        log.info("trained   %s images in %.0f s%s", f"{clock.images_seen:,}", clock.seconds, time_spent(trainer))
        roll_back = clock.exit_code == DIVERGED and settings.rollback and rollbacks < MAX_ROLLBACKS
        try:
            all_gather(None)  # rank 0 has written what the others read
        except PeerLost:
            if roll_back or not trainer.is_global_zero:
                raise
        if not roll_back:
            return trainer, clock.exit_code
        rollbacks += 1
        resume = load_newest(folder) if folder.has_checkpoint() else None
        seen = f"{resume['images_seen'] if resume else 0:,}"
        log.warning("rollback  %d of %d: back to %s images, learning rate halved", rollbacks, MAX_ROLLBACKS, seen)


def train(trainer: Trainer, run: RunContext) -> None:
    """Trains. Raises UserError for a callback of another package that refuses the trainer's settings."""
    try:
        trainer.fit(run.model, datamodule=run.data)
    except MisconfigurationException as error:
        raise refused(others(trainer), error) from error
    if trainer.should_stop and not run.clock.spent and not run.clock.exit_code:
        log.info("ended     by a callback, at %.0f%% of the budget", 100 * run.clock.progress)


def finish(folder: RunFolder, trust: tuple[str, ...] | None, exit_code: int) -> int:
    """Draws samples and writes the report, on rank 0 after training. Returns the exit code of the run."""
    if exit_code == 0:
        try:
            draw_samples(folder, trust)
        except OSError as error:
            log.error("error: the run is trained and its checkpoints are kept, but no samples were drawn: %s", error)
            return 1
    leave_report(folder)
    if exit_code == 0:
        log.info("more with genimg sample %s num_images=64", word("run", folder.path))
    elif exit_code in STOPPED:
        log.info("resume with: genimg-train %s", word("resume", folder.path))
    return exit_code


def draw_samples(folder: RunFolder, trust: tuple[str, ...] | None) -> None:
    """Draws samples from the best checkpoint to RUN/samples/final, as `genimg sample` does."""
    sampler = load(folder.path, trust=trust)
    options = SampleOptions.defaults(interpolate=8 if sampler.can_interpolate else None)
    log.info("images  %s", write_samples(sampler, options, folder.final))


def log_start(folder: RunFolder, machine: Machine, resume: Checkpoint | None) -> None:
    """Logs where and how the run starts."""
    if restarts():
        seen = f"{resume['images_seen'] if resume else 0:,}"
        log.warning("a process died; all processes are restarted (%d), at %s images", restarts(), seen)
    log.info("run       %s", folder.path)
    if "GENIMG_BUSY" in os.environ and machine.accelerator == "cpu":
        used, cores = machine.threads, count_cores()
        log.info(
            "busy      other work shares the processor: this run uses %d of %d cores (trainer.threads)", used, cores
        )


def check_unfinished(run: RunContext) -> None:
    """Raises UserError for a run whose budget is spent, unless its samples or its report are missing.

    Restarted processes may have died after the report was written, so they continue in any case.
    """
    if restarts() or not run.folder.is_complete():
        log.info("trained before; only its images and its report are missing")
        return
    reached = {
        "images": run.clock.images_seen,
        "epochs": math.ceil(run.clock.images_seen / run.data.num_items),
        "steps": math.ceil(run.clock.images_seen / run.data.step_size),
        "minutes": round(run.clock.seconds / 60, 1),
    }
    limits = asdict(run.settings.budget)
    larger = {name: limit and max(limit, reached[name]) for name, limit in limits.items()}
    raise UserError(
        key="resume",
        got=f"a run whose budget is spent, at {run.clock.images_seen:,} images",
        expected="a larger budget",
        hint=" ".join([word("resume", run.settings.resume), *doubled(larger)]),
    )


def time_spent(trainer: Trainer) -> str:
    """Returns the time spent in callbacks that count it, as the end of a sentence; empty if there are none."""
    callbacks: list[Callback] = trainer.callbacks  # pyright: ignore[reportAttributeAccessIssue]
    counting = [one for one in callbacks if isinstance(one, RunCallback | Checkpoints) and one.seconds_spent > 0]
    spent = ", ".join(f"{type(one).__name__} {one.seconds_spent:.1f} s" for one in counting)
    return f"; of these {spent}" if spent else ""
