"""dry_run=true: estimates the time, memory and disk of a training run from a few steps; leaves no files."""

import io
import logging
import math
import resource
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from omegaconf import OmegaConf
from pytorch_lightning import LightningModule, Trainer

from genimg.checkpoints.schema import Checkpoint
from genimg.common.build import Builder
from genimg.common.services import service_named
from genimg.distributed.data_parallel import leave
from genimg.training.callbacks.base import RunCallback, RunContext
from genimg.training.callbacks.clock import Budget
from genimg.training.loggers import build_loggers
from genimg.training.machine import Machine
from genimg.training.settings import BudgetSettings, TrainSettings
from genimg.training.setup import build_callbacks, build_run, log_parts

log = logging.getLogger(__name__)

WARM_UP = 4  # untimed steps: the first ones allocate memory and choose kernels
WARM_UP_GPU = 64  # until each kind of step has been captured
TIMED = 12


class StepTimer(RunCallback):
    """Times `num_steps` steps after the warm-up, then ends the run.

    limit: seconds after which it times no further step. Half of them at most are warm-up; two steps are always trained.
    """

    passive: ClassVar[bool] = True

    def __init__(self, num_steps: int, limit: float = math.inf) -> None:
        self.num_steps, self.limit = num_steps, limit
        self.steps = self.warm_up = 0  # all steps so far, and those before the timed ones
        self.began = self.started = self.seconds = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.began = time.perf_counter()

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        # schedules at their end: clips at full length, as in most of a run
        self.context.model.set_clock(self.context.clock.images_seen, 1.0)

    def after_step(self, trainer: Trainer) -> None:
        self.steps += 1
        spent = time.perf_counter() - self.began
        if not self.warm_up:
            longest = WARM_UP_GPU if self.context.model.device.type == "cuda" else WARM_UP
            if self.steps == longest or spent > self.limit / 2:
                synchronize(self.context.model.device)
                self.warm_up, self.started = self.steps, time.perf_counter()
        elif self.steps == self.warm_up + self.num_steps or spent > self.limit:
            synchronize(self.context.model.device)
            self.seconds = time.perf_counter() - self.started
            trainer.should_stop = True

    @property
    def speed(self) -> float:
        """Images per second of the timed steps."""
        return (self.steps - self.warm_up) * self.context.data.step_size / self.seconds


class CaptureEnd(RunCallback):
    """Captures a checkpoint at the end, before Lightning moves the model off its device."""

    passive: ClassVar[bool] = True

    def __init__(self) -> None:
        self.checkpoint: Checkpoint = {}

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.checkpoint = self.context.checkpoints.capture(trainer)


def dry_run(settings: TrainSettings, machine: Machine) -> int:
    """Trains a few steps in a temporary run folder and prints the report. Returns the exit code."""
    timer, end = StepTimer(TIMED), CaptureEnd()
    with tempfile.TemporaryDirectory(prefix="genimg-") as run_dir:
        build_parts(replace(settings, run_dir=Path(run_dir)))
        trainer, run = build_run(shortened(settings, Path(run_dir)), machine, None, [timer, end])
        log_parts(machine, run)
        trainer.fit(run.model, datamodule=run.data)
        if run.clock.exit_code:
            return run.clock.exit_code
        leave()
        if trainer.is_global_zero:
            report(replace(settings, model=run.settings.model), end.checkpoint, run, timer)
    return 0


def build_parts(settings: TrainSettings) -> None:
    """Builds the callbacks and loggers of the run, which the dry run does not use, so that their mistakes are found.

    Raises:
        UserError: for a class that does not exist or refuses a value.
    """
    builder = Builder(settings.trust)
    build_callbacks(settings, builder)
    loggers = {name: service_named(node["_target_"]).unconnected(node) for name, node in settings.logger.items()}
    settings = replace(settings, logger=loggers)
    build_loggers(settings, builder, images_seen=0)


def shortened(settings: TrainSettings, run_dir: Path) -> TrainSettings:
    """Returns the settings of a run of some steps, which measures and logs nothing besides."""
    budget = BudgetSettings(images=None, epochs=None, steps=None, minutes=60)
    return replace(settings, run_dir=run_dir, budget=budget, callbacks={}, logger={})


def report(settings: TrainSettings, checkpoint: Checkpoint, run: RunContext, timer: StepTimer) -> None:
    """Prints the resolved configuration, then the estimated speed, time, memory and disk of the run."""
    speed = timer.speed
    budget = Budget.from_settings(settings.budget, run.data.num_items, run.data.step_size)
    size = checkpoint_bytes(checkpoint)
    minutes = [budget.minutes] if budget.minutes else []
    minutes += [budget.images / speed / 60] if budget.images else []
    images = min([speed * 60 * min(minutes)] + ([budget.images] if budget.images else []))
    shown = {name: value for name, value in settings.stored.items() if name != "run_dir"}
    print(OmegaConf.to_yaml(OmegaConf.create(shown)))
    log.info("speed     %s images/s, from %d steps after %d", f"{speed:,.0f}", TIMED, timer.warm_up)
    log.info("time      about %.1f minutes for %s images", min(minutes), f"{images:,.0f}")
    log.info("memory    %s peak so far", format_bytes(peak_memory(run.model.device)))
    files, kept = 3, settings.checkpoint.keep  # last, previous and best; the newest kept one is `last` too
    files += kept - 1 if isinstance(kept, int) else 0
    more = ", and another one for each that is kept" if kept == "all" else ""
    total = format_bytes(files * size)
    log.info(
        "disk      %s: %d checkpoints of %s%s, plus sample sheets and logs", total, files, format_bytes(size), more
    )


def synchronize(device: torch.device) -> None:
    """Waits until a GPU has finished its work; returns at once for a CPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def checkpoint_bytes(checkpoint: Checkpoint) -> int:
    """Returns the size of a checkpoint's file."""
    content = io.BytesIO()
    torch.save(checkpoint, content)
    return content.tell()


def peak_memory(device: torch.device) -> int:
    """Returns the peak memory in bytes: of the GPU, or of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # Linux counts kilobytes


def format_bytes(count: float) -> str:
    """Returns a size with its unit: 1234567 -> '1.2 MB'."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"
