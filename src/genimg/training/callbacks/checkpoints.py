"""Saves the last and the best checkpoint of a run, and restores a run from one."""

import logging
import math
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from genimg.checkpoints.read import load_to_resume
from genimg.checkpoints.schema import Checkpoint, RunState, capture, process_state
from genimg.checkpoints.write import copy_to_cpu, keep, save_checkpoint
from genimg.common.errors import STOPPED, UserError, in_a_line
from genimg.common.files import remove_unfinished, write_json
from genimg.common.hashing import Use, hash_int
from genimg.common.monitored import Monitored, comparable
from genimg.common.run_folder import RunFolder
from genimg.data.module import GenerativeData
from genimg.distributed.data_parallel import all_gather
from genimg.models.base import GenerativeModel
from genimg.training.callbacks import optimizers, states
from genimg.training.callbacks.clock import Clock
from genimg.training.callbacks.ema import EMA
from genimg.training.callbacks.metrics import Metrics, monitored
from genimg.training.settings import TrainSettings

log = logging.getLogger(__name__)

UNSAVED = 1  # exit code of a run whose last checkpoint could not be written


class Checkpoints(Callback):
    """Writes `last` at intervals and at the end, and `best` when the model's monitored metric improves.

    A thread writes a copy of the state while training continues. On a full disk the run continues with a warning, and
    the next checkpoint is tried.

    Args:
        settings: each checkpoint contains `settings.stored`.
        resume: the checkpoint to continue from, or None.
    """

    passive: ClassVar[bool] = False

    def __init__(
        self,
        settings: TrainSettings,
        folder: RunFolder,
        data: GenerativeData,
        model: GenerativeModel,
        clock: Clock,
        ema: EMA,
        metrics: Metrics,
        resume: Checkpoint | None,
    ) -> None:
        self.settings, self.folder, self.data, self.model = settings, folder, data, model
        self.clock, self.ema, self.metrics, self.resume = clock, ema, metrics, resume
        self.best: Monitored | None = None
        self.since_best = 0  # measurements
        self.seconds_spent = 0.0
        self._writer = ThreadPoolExecutor(max_workers=1)
        self._writing: tuple[str, Future[None]] | None = None  # name and result
        self._failed: set[str] = set()  # names that could not be written the last time
        self._older_best: Monitored | None = None
        self._saved_at = 0.0  # seconds of the clock, which all processes share

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Restores what `training/setup.py` has not: weights, EMA, clock and data position are restored there."""
        if self.resume is None:
            return
        reconfigured = self.resume["config"]["model"] != self.settings.model
        optimizers.restore(trainer.optimizers, self.resume["optimizers"], reconfigured)
        if self.resume["scaler"]:
            trainer.precision_plugin.load_state_dict(self.resume["scaler"])
        check_generators(self.resume, trainer.strategy.root_device)
        self.metrics.latest = dict(self.resume["metrics"])
        self.since_best = self.resume["since_best"]
        states.restore(trainer, self.resume["callbacks"])
        kept = load_best(self.folder.best) if trainer.is_global_zero else None
        comparable = kept is not None and kept["data"]["fingerprint"] == self.data.fingerprint
        # from best.pt, because after a crash it may be newer than the checkpoint that the run resumes from
        best = monitored(kept["metrics"], self.model) if kept and comparable else None
        fields = trainer.strategy.broadcast(None if best is None else asdict(best))
        self.best = None if fields is None else Monitored(**fields)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.is_global_zero:
            for folder in (self.folder.path, self.folder.checkpoints):
                remove_unfinished(folder)
        # immediately before the first step, so that nothing draws random numbers in between
        self._restore_process(trainer)
        self.resume = None
        self._saved_at = self.clock.seconds

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        intervals = self.settings.checkpoint
        by_images = intervals.every_images is not None and self.clock.passed(intervals.every_images)
        minutes = (self.clock.seconds - self._saved_at) / 60
        by_time = intervals.every_minutes is not None and minutes >= intervals.every_minutes
        if by_images or by_time or trainer.should_stop:
            self.save_last(trainer)

    def save_last(self, trainer: Trainer) -> None:
        """Writes `last`, unless a value since the last row is not finite."""
        self.metrics.check(trainer)
        if self.clock.exit_code in (0, *STOPPED):
            self._save(trainer, "last")
        self._saved_at = self.clock.seconds

    def update_best(self, trainer: Trainer, value: Monitored) -> None:
        """Writes `best` if a new value is the best so far, or does not compare with the best."""
        self.metrics.flush(trainer)  # detects a loss that is not finite
        self.metrics.check(trainer)
        self._finish_writing()
        better = self.best is None or not comparable([self.best, value]) or value.cost < self.best.cost
        better = trainer.strategy.broadcast(better)  # only rank 0 knows what was written
        if better and math.isfinite(value.value) and self.clock.exit_code == 0:
            self._older_best, self.best, self.since_best = self.best, value, 0
            self._save(trainer, "best")
        else:
            self.since_best += 1
            patience = self.settings.patience
            if patience is not None and self.since_best >= patience and self.clock.exit_code == 0:
                log.info("patience  %d measurements without a better %s", self.since_best, value.name)
                trainer.should_stop = True

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._finish_writing()
        if "last" in self._failed:
            log.error("error: no checkpoint contains the end of the run: %s could not be written", self.folder.last)
            self.clock.exit_code = self.clock.exit_code or UNSAVED

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._finish_writing()

    def capture(self, trainer: Trainer) -> Checkpoint:
        """Returns the state of the run between two steps. All processes must call it; only rank 0's is complete."""
        return capture(
            RunState(
                config=self.settings.stored,
                model=self.model,
                ema=self.ema.state_dict(),
                optimizers=trainer.optimizers,
                scaler=trainer.precision_plugin.state_dict(),
                data=self.data,
                images_seen=self.clock.images_seen,
                seconds=self.clock.seconds,
                expected_images=self.clock.expected_images,
                processes=all_gather(process_state(*self.metrics.state())),
                metrics=self.metrics.latest,
                since_best=self.since_best,
                callbacks=states.states(trainer),
            )
        )

    def _save(self, trainer: Trainer, name: str) -> None:
        started = time.monotonic()
        checkpoint = self.capture(trainer)
        self._finish_writing()
        if trainer.is_global_zero:
            best = self.best if name == "best" else None
            kept = self.settings.checkpoint.keep
            self._writing = name, self._writer.submit(_write, self.folder, copy_to_cpu(checkpoint), best, kept)
        self.seconds_spent += time.monotonic() - started

    def _finish_writing(self) -> None:
        if self._writing is None:
            return
        (name, written), self._writing = self._writing, None
        try:
            written.result()
            self._failed.discard(name)
        except OSError as error:
            if name == "best":
                self.best = self._older_best  # the next value that improves on the written one is saved
            if name not in self._failed:
                exists = self.folder.has_checkpoint()
                kept = "the older checkpoints are intact" if exists else "there is no checkpoint yet"
                log.warning("could not write %s.pt: %s. The run continues and tries again; %s.", name, error, kept)
            self._failed.add(name)

    def _restore_process(self, trainer: Trainer) -> None:
        """Restores what `process_state` returns. A process that the checkpoint does not have is seeded by its rank.

        And by the images seen, so that a process which leaves the run and returns does not repeat its noise.
        """
        states = self.resume["processes"] if self.resume is not None else []
        rank, device = trainer.global_rank, trainer.strategy.root_device
        if rank < len(states):
            self.metrics.restore(states[rank]["pending"], states[rank]["unwritten"], device)
            torch.set_rng_state(states[rank]["random"])
            if "cuda" in states[rank] and device.type == "cuda":
                torch.cuda.set_rng_state(states[rank]["cuda"])
        elif rank > 0:  # rank 0 continues from the seed that initialised the networks
            torch.manual_seed(hash_int(Use.PROCESS, self.settings.seed, rank, self.clock.images_seen))


def _write(
    folder: RunFolder, checkpoint: Checkpoint, best: Monitored | None, kept: int | Literal["all"] | None
) -> None:
    """Writes the best checkpoint and its value, or without a value the last checkpoint.

    kept: of how many last checkpoints a file remains.
    """
    if best is None:
        save_checkpoint(folder.last, checkpoint, folder.previous)
        if kept is not None:
            keep(folder.last, folder.checkpoints / f"{checkpoint['images_seen']:09d}.pt")
        if isinstance(kept, int):
            by_age = sorted(folder.kept(), key=lambda file: file.stat().st_mtime_ns)
            for file in by_age[:-kept]:
                file.unlink()
    else:
        save_checkpoint(folder.best, checkpoint)
        write_json(folder.best_metric, {**asdict(best), "images_seen": checkpoint["images_seen"]})


def load_best(file: Path) -> Checkpoint | None:
    """Returns the best checkpoint; None if it is missing or damaged, and then the next measurement is the best."""
    try:
        return load_to_resume(file) if file.exists() else None
    except UserError as error:
        log.warning("there is no best checkpoint to compare with: %s", in_a_line(str(error)))
        return None


def check_generators(checkpoint: Checkpoint, device: torch.device) -> None:
    """Raises UserError if the GPU's generator does not accept a state. Reading the file validates the CPU's."""
    for process in checkpoint["processes"]:
        if "cuda" in process and device.type == "cuda":
            try:
                torch.Generator(device).set_state(process["cuda"])
            except (RuntimeError, TypeError) as error:
                reason = str(error).splitlines()[0]
                raise UserError("resume", "the checkpoint's random state", f"one of this GPU: {reason}") from error
