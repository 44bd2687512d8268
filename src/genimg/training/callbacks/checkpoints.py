"""The last and the best checkpoint of a run, and the way back from one."""

import logging
import math
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from genimg.checkpoints.read import FORMAT, Checkpoint, load_to_resume, save_checkpoint, versions
from genimg.common.errors import STOPPED, UserError, in_a_line
from genimg.common.files import remove_unfinished, write_json
from genimg.common.monitored import Monitored, compare
from genimg.common.run_folder import RunFolder
from genimg.distributed.data_parallel import gathered
from genimg.models.base import GenerativeModel
from genimg.training.callbacks import optimizers
from genimg.training.callbacks.clock import Clock
from genimg.training.callbacks.ema import EMA
from genimg.training.callbacks.find import find, run_folder
from genimg.training.callbacks.metrics import Metrics, monitored

log = logging.getLogger(__name__)

UNSAVED = 1  # exit code of a run that was trained, and whose end no disk has taken


class Checkpoints(Callback):
    """Writes `last` every so often and at the end, and `best` whenever the model's monitored figure improves.

    Training goes on while a file is written: from a copy, by a thread. A disk that is full is a warning, and the next
    checkpoint another try.

    Args:
        config: the resolved configuration, stored whole.
        every_images: images between two saves; None for none by this count.
        every_minutes: minutes between two saves; None for none by the clock.
        resume: the checkpoint to go on from, or None.
    """

    def __init__(
        self,
        config: dict[str, Any],
        every_images: int | None,
        every_minutes: float | None,
        resume: Checkpoint | None = None,
    ) -> None:
        self.config = config
        self.every_images, self.every_minutes = every_images, every_minutes
        self.resume = resume
        self.best: Monitored | None = None
        self.since_best = 0  # figures measured, in this session
        self.seconds_spent = 0.0
        self._writer = ThreadPoolExecutor(max_workers=1)
        self._writing: tuple[str, Future[None]] | None = None  # what, and its end
        self._refused: set[str] = set()  # what the disk did not take the last time
        self._older_best: Monitored | None = None
        self._saved_at = 0.0  # of the clock's seconds, which all processes share

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Everything but the weights, which the task loaded, and the data's position, which follows the clock."""
        if self.resume is None:
            return
        reconfigured = self.resume["config"]["model"] != self.config["model"]
        optimizers.restore(trainer.optimizers, self.resume["optimizers"], reconfigured)
        check_generators(trainer, self.resume)
        find(trainer, Metrics).latest = {n: v for n, v in self.resume["figures"].items() if n != "best"}
        kept = readable(run_folder(trainer).best) if trainer.is_global_zero else None
        data: Any = trainer.datamodule  # pyright: ignore[reportAttributeAccessIssue]
        comparable = kept is not None and kept["data"]["fingerprint"] == data.fingerprint
        # its own figure and not the last one's: after a crash it may be newer
        self.best = trainer.strategy.broadcast(monitored(kept["figures"], pl_module) if kept and comparable else None)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.is_global_zero:
            folder = run_folder(trainer)
            for place in (folder.path, folder.checkpoints):
                remove_unfinished(place)
        # the last thing before the first step, so that nothing draws in between
        restore_process(trainer, self.resume, self.config["seed"])
        self.resume = None
        self._saved_at = find(trainer, Clock).seconds

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        clock = find(trainer, Clock)
        by_images = self.every_images is not None and clock.passed(self.every_images)
        minutes = (clock.seconds - self._saved_at) / 60
        by_time = self.every_minutes is not None and minutes >= self.every_minutes
        if by_images or by_time or trainer.should_stop:
            self.save_last(trainer)

    def on_measured(self, trainer: Trainer, figure: Monitored) -> None:
        """Called with a new figure: keeps this state if it is the best so far, or does not compare with that."""
        metrics = find(trainer, Metrics)
        metrics.flush(trainer)  # so that a loss that is not finite is known of
        metrics.check(trainer)
        self._finish_writing()
        better = self.best is None or not compare([self.best, figure]) or figure.cost < self.best.cost
        better = trainer.strategy.broadcast(better)  # the first process knows what was written
        if better and math.isfinite(figure.value) and find(trainer, Clock).exit_code == 0:
            self._older_best, self.best, self.since_best = self.best, figure, 0
            self._save(trainer, "best")
        else:
            self.since_best += 1

    def save_last(self, trainer: Trainer) -> None:
        """Write `last`, unless what was trained since is not finite."""
        find(trainer, Metrics).check(trainer)
        clock = find(trainer, Clock)
        if clock.exit_code in (0, *STOPPED):
            self._save(trainer, "last")
        self._saved_at = clock.seconds

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._finish_writing()
        if "last" not in self._refused:
            return
        log.error("error: the end of the run is in no checkpoint: %s could not be written", run_folder(trainer).last)
        clock = find(trainer, Clock)
        clock.exit_code = clock.exit_code or UNSAVED

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._finish_writing()

    def _save(self, trainer: Trainer, name: str) -> None:
        started = time.monotonic()
        folder = run_folder(trainer)
        state = capture(trainer, self.config, self.best)
        self._finish_writing()
        if trainer.is_global_zero:
            best = self.best if name == "best" else None
            self._writing = name, self._writer.submit(_write, folder, copied(state), best)
        self.seconds_spent += time.monotonic() - started

    def _finish_writing(self) -> None:
        if self._writing is None:
            return
        (name, written), self._writing = self._writing, None
        try:
            written.result()
            self._refused.discard(name)
        except OSError as error:
            if name == "best":
                self.best = self._older_best  # the next one that is better than what lies there is tried again
            if name not in self._refused:
                older = RunFolder(Path(self.config["run_dir"])).has_checkpoint()
                kept = "the older checkpoints are intact" if older else "there is no checkpoint yet"
                log.warning("could not write %s.pt: %s. The run goes on and tries again; %s.", name, error, kept)
            self._refused.add(name)


def _write(folder: RunFolder, state: Checkpoint, best: Monitored | None) -> None:
    """The best checkpoint and its figure, or where there is no figure the last one."""
    if best is None:
        save_checkpoint(folder.last, state, folder.previous)
    else:
        save_checkpoint(folder.best, state)
        write_json(folder.best_metric, {**asdict(best), "images_seen": state["images_seen"]})


def copied(state: Any) -> Any:
    """Nested plain types, with copies of their tensors on the CPU that no later step changes."""
    if isinstance(state, torch.Tensor):
        return state.detach().to("cpu", copy=True)
    if isinstance(state, dict):
        return {name: copied(part) for name, part in state.items()}
    return type(state)(map(copied, state)) if isinstance(state, list | tuple) else state


def capture(trainer: Trainer, config: dict[str, Any], best: Monitored | None) -> Checkpoint:
    """The whole state of a run between two steps, in plain types. All processes have to call it; the first has it."""
    model = cast(GenerativeModel, trainer.lightning_module)
    clock = find(trainer, Clock)
    data: Any = trainer.datamodule  # pyright: ignore[reportAttributeAccessIssue]
    return {
        "format": FORMAT,
        "config": config,
        "model": dict(model.state_dict()),
        "ema": find(trainer, EMA).state_dict(),
        "optimizers": [optimizer.state_dict() for optimizer in trainer.optimizers],
        "clock": clock.state_dict(),
        "images_seen": clock.images_seen,
        "rollbacks": model.rollbacks,
        "processes": gathered(process_state(trainer)),
        "data": {
            "fingerprint": data.fingerprint,
            "classes": list(data.classes),
            "image_shape": list(data.image_shape),
            "num_frames": data.num_frames,
        },
        "figures": {"best": best and best.value, **find(trainer, Metrics).latest},
        "versions": versions(),
    }


def process_state(trainer: Trainer) -> dict[str, Any]:
    """What the processes of a run do not share: the state of torch's generators, and the figures not yet written.

    Everything else that draws in training is a function of seeds and counters.
    """
    state: dict[str, Any] = {"random": torch.get_rng_state(), **find(trainer, Metrics).waiting()}
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def readable(best: Path) -> Checkpoint | None:
    """The best checkpoint; None where there is none, or it is damaged: then the next that is measured is the best."""
    try:
        return load_to_resume(best) if best.exists() else None
    except UserError as error:
        log.warning("no best checkpoint to compare with: %s", in_a_line(str(error)))
        return None


def check_generators(trainer: Trainer, checkpoint: Checkpoint) -> None:
    """UserError for a state that this GPU's generator does not take; the processor's is checked with the file."""
    device = trainer.strategy.root_device
    for process in checkpoint["processes"]:
        if "cuda" in process and device.type == "cuda":
            try:
                torch.Generator(device).set_state(process["cuda"])
            except (RuntimeError, TypeError) as error:
                reason = str(error).splitlines()[0]
                raise UserError("resume", "the checkpoint's random state", f"one of this GPU: {reason}") from error


def restore_process(trainer: Trainer, checkpoint: Checkpoint | None, seed: int) -> None:
    """The inverse of `process_state`. A process that the checkpoint does not know draws numbers of its own rank."""
    known = checkpoint["processes"] if checkpoint is not None else []
    rank = trainer.global_rank
    if rank < len(known):
        find(trainer, Metrics).go_on_with(known[rank], trainer)
        torch.set_rng_state(known[rank]["random"])
        if "cuda" in known[rank] and trainer.strategy.root_device.type == "cuda":
            torch.cuda.set_rng_state(known[rank]["cuda"])
    elif rank > 0:  # the first goes on from the seed that the networks were made with
        torch.manual_seed((rank << 32) + seed)
