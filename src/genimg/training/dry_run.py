"""dry_run=true: what a training run would be and cost, from a few real steps, with nothing left behind."""

import logging
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, cast

import torch
from omegaconf import OmegaConf
from pytorch_lightning import Callback, LightningModule, Trainer

from genimg.checkpoints.read import Checkpoint, save_checkpoint
from genimg.models.base import GenerativeModel
from genimg.training.callbacks.checkpoints import capture
from genimg.training.callbacks.clock import Budget, Clock
from genimg.training.callbacks.find import find

log = logging.getLogger(__name__)

WARM_UP = 4  # steps not timed: the first ones allocate and choose kernels
TIMED = 12


class StepTimer(Callback):
    """Times so many steps after the warm-up, and ends the run with them."""

    def __init__(self, timed: int) -> None:
        self.timed, self.steps = timed, 0
        self.started = self.seconds = 0.0

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        # schedules at their end: clips at full length, which is what most of a run is
        cast(GenerativeModel, pl_module).set_clock(find(trainer, Clock).images_seen, 1.0)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.steps += 1
        if self.steps == WARM_UP:
            wait_for(pl_module.device)
            self.started = time.perf_counter()
        if self.steps == WARM_UP + self.timed:
            wait_for(pl_module.device)
            self.seconds = time.perf_counter() - self.started
            trainer.should_stop = True


class EndState(Callback):
    """Keeps a checkpoint of the run's end, from when the model is still on its device: Lightning takes it off after
    the training, and parts of a model are put together where the processes' messages go.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config
        self.state: Checkpoint = {}

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.state = capture(trainer, self.config, None)


def wait_for(device: torch.device) -> None:
    """Until a GPU has done what it was told; a processor has."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def report(config: dict[str, Any], state: Checkpoint, model: LightningModule, data: Any, timer: StepTimer) -> None:
    """Print the resolved configuration, then what the run would take; `state` is a checkpoint of it."""
    speed = timer.timed * data.batch_size / timer.seconds
    budget = Budget.of(**config["budget"], num_items=data.num_items)
    checkpoint = checkpoint_bytes(state)
    minutes = [budget.minutes] if budget.minutes else []
    minutes += [budget.images / speed / 60] if budget.images else []
    images = min([speed * 60 * min(minutes)] + ([budget.images] if budget.images else []))
    shown = {name: value for name, value in config.items() if name != "run_dir"}
    print(OmegaConf.to_yaml(OmegaConf.create(shown)))
    log.info("speed     %s images a second, from %d steps after %d", f"{speed:,.0f}", TIMED, WARM_UP)
    log.info("time      about %.1f minutes for %s images", min(minutes), f"{images:,.0f}")
    log.info("memory    %s at the most so far", size(peak_memory(model.device)))
    log.info("disk      %s: three checkpoints of %s, besides sheets and logs", size(3 * checkpoint), size(checkpoint))


def checkpoint_bytes(state: Checkpoint) -> int:
    """Size of a checkpoint, by writing it to a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="genimg-") as folder:
        path = Path(folder, "checkpoint.pt")
        save_checkpoint(path, state)
        return path.stat().st_size


def peak_memory(device: torch.device) -> int:
    """Bytes: of the GPU's memory on a GPU, else of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # Linux counts kilobytes


def size(count: float) -> str:
    """Bytes for a person: 1234567 -> '1.2 MB'."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"
