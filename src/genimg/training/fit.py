"""task=train: fit a model, keep its checkpoints, then draw samples from the best."""

import logging
import math
import os
import tempfile
from pathlib import Path
from typing import Any

from pytorch_lightning import Trainer

from genimg.checkpoints.read import Checkpoint, load_to_resume
from genimg.common.errors import STOPPED, PeerLost, UserError, in_a_line
from genimg.common.quoting import doubled, word
from genimg.common.ranks import may_meet_again, restarts
from genimg.common.run_folder import RunFolder
from genimg.distributed.data_parallel import gathered, join, leave
from genimg.report.write import leave_report
from genimg.sampling.load import load
from genimg.sampling.writer import SampleOptions, write_samples
from genimg.training.callbacks.clock import Clock
from genimg.training.callbacks.find import find
from genimg.training.callbacks.metrics import DIVERGED
from genimg.training.changes import tell_changes
from genimg.training.dry_run import TIMED, EndState, StepTimer, report
from genimg.training.machine import Machine, choose
from genimg.training.setup import make_trainer, prepare, trusted

log = logging.getLogger(__name__)

ROLLBACKS = 3  # at most, of health.on_divergence=rollback


def run(config: dict[str, Any]) -> int:
    """Train as the configuration says and return the exit code: 0, 1 diverged, 130 or 143 stopped by a signal."""
    if config["dry_run"]:
        return try_out(config)
    machine = choose(config["trainer"])
    meeting = join(machine.device)
    config["run_dir"] = gathered(config["run_dir"])[0]  # that of the first process, whose command has made it
    folder = RunFolder(Path(config["run_dir"]))
    again = config["resume"] or (restarts() and folder.has_checkpoint())
    resume = newest_checkpoint(folder) if again else None
    if restarts():
        seen = resume["images_seen"] if resume else 0
        log.warning("a process died; all are started again (%d), at %s images", restarts(), f"{seen:,}")
    log.info("run       %s", folder.path)
    if "GENIMG_BUSY" in os.environ and machine.accelerator == "cpu" and machine.threads > 1:
        log.info("busy      other work shares the processor: trainer.threads=1 may be faster")
    trainer = fit(config, machine, folder, resume)
    clock = find(trainer, Clock)
    leave()
    if trainer.is_global_zero:
        exit_code = finish(config, folder, clock.exit_code)
        if meeting is not None:
            meeting.be_through()
        return exit_code
    if meeting is not None and may_meet_again():  # the first one may die meanwhile, and needs them to start anew
        meeting.wait_for_first()
    return clock.exit_code


def finish(config: dict[str, Any], folder: RunFolder, exit_code: int) -> int:
    """What the first process does alone after the training, which ended with `exit_code`: images, and the page."""
    if exit_code == 0:
        try:
            draw_samples(folder, trusted(config))
        except OSError as error:
            log.error("error: the run is trained and its checkpoint kept, but no images were drawn: %s", error)
            return 1
    leave_report(folder)
    if exit_code == 0:
        log.info("more with genimg sample %s num_images=64", word("run", folder.path))
    elif exit_code in STOPPED:
        log.info("go on with: genimg-train %s", word("resume", folder.path))
    return exit_code


def fit(config: dict[str, Any], machine: Machine, folder: RunFolder, resume: Checkpoint | None) -> Trainer:
    """Trains, and returns the trainer with what it came to.

    With health.on_divergence=rollback a figure that is not finite is answered with half the learning rate, from the
    last checkpoint, or from the first weights where there is none, so many times as `ROLLBACKS` says.
    """
    rollbacks = resume["rollbacks"] if resume else 0
    while True:
        data, model = prepare(config, machine, resume)
        model.rollbacks = rollbacks
        trainer = make_trainer(config, machine, data, resume)
        clock = find(trainer, Clock)
        # a group that is started anew may have died after the page: it is not the user who asked for nothing
        if clock.spent and (restarts() or not folder.is_complete()):
            log.info("trained before; only its images and its page are missing")
            gathered(None)  # all have seen what is missing before the first one changes it
            return trainer
        if clock.spent:
            raise UserError(
                key="resume",
                got=f"a run whose budget is spent, at {clock.images_seen:,} images",
                expected="a larger budget",
                hint=" ".join([word("resume", config["resume"]), *doubled(_at_least(config["budget"], clock, data))]),
            )
        if resume is not None and rollbacks == resume["rollbacks"]:  # told before, where it has rolled back since
            tell_changes(config, data.fingerprint, resume)
        trainer.fit(model, datamodule=data)
        log.info("trained   %s images in %.0f s%s", f"{clock.images_seen:,}", clock.seconds, besides(trainer))
        back = clock.exit_code == DIVERGED and config["health"]["on_divergence"] == "rollback"
        back = back and rollbacks < ROLLBACKS
        try:
            gathered(None)  # until the first process has written what the others read
        except PeerLost:
            if back or not trainer.is_global_zero:
                raise
        if not back:
            return trainer
        rollbacks += 1
        resume = newest_checkpoint(folder) if folder.has_checkpoint() else None
        seen = resume["images_seen"] if resume else 0
        log.warning(
            "rollback  %d of %d: back to %s images, the learning rate halved", rollbacks, ROLLBACKS, f"{seen:,}"
        )


def _at_least(budget: dict[str, Any], clock: Clock, data: Any) -> dict[str, Any]:
    """Each limit that is set, or how far the run has gone past it."""
    gone = {
        "images": clock.images_seen,
        "epochs": math.ceil(clock.images_seen / data.num_items),
        "minutes": round(clock.seconds / 60, 1),
    }
    return {name: limit and max(limit, gone[name]) for name, limit in budget.items()}


def try_out(config: dict[str, Any]) -> int:
    """A few real steps in a temporary run folder, and what they tell of the whole run."""
    machine = choose(config["trainer"])
    join(machine.device)
    with tempfile.TemporaryDirectory(prefix="genimg-") as run_dir:
        unlimited = {"images": None, "epochs": None, "minutes": 60}
        bare = {**config, "callbacks": {}, "logger": {}, "run_dir": run_dir, "budget": unlimited}
        data, model = prepare(config, machine, None)
        timer, end = StepTimer(TIMED), EndState(config)
        trainer = make_trainer(bare, machine, data, None, timer, end)
        trainer.fit(model, datamodule=data)
        if exit_code := find(trainer, Clock).exit_code:
            return exit_code
        leave()  # what is told the first process finds out alone
        if trainer.is_global_zero:
            report(config, end.state, model, data, timer)
    return 0


def newest_checkpoint(folder: RunFolder) -> Checkpoint:
    """The last checkpoint of a run to go on from; where it is missing or damaged, the newest that is not."""
    found: list[Checkpoint] = []
    problems: list[UserError] = []
    for file in (folder.last, folder.previous, folder.best):
        try:
            found += [load_to_resume(file)] if file.exists() else []
        except UserError as error:
            problems.append(error)
        if file == folder.last and found:
            return found[0]
    if not found:
        raise problems[0] if problems else UserError("resume", str(folder.path), "a run with a checkpoint")
    newest = max(found, key=lambda checkpoint: checkpoint["images_seen"])
    why = "; ".join(in_a_line(str(error)) for error in problems) or "there is none"
    log.warning("no last checkpoint to read (%s): going on from an older one, at %s images", why, newest["images_seen"])
    return newest


def besides(trainer: Trainer) -> str:
    """What the callbacks took of the time, those that count it; nothing where none took any."""
    callbacks: list[Any] = trainer.callbacks  # pyright: ignore[reportAttributeAccessIssue]
    spent = {type(c).__name__: c.seconds_spent for c in callbacks if getattr(c, "seconds_spent", 0) > 0}
    return "; of these " + ", ".join(f"{name} {seconds:.1f} s" for name, seconds in spent.items()) if spent else ""


def draw_samples(folder: RunFolder, trust: tuple[str, ...] | None) -> None:
    """Sample from the best checkpoint as `task=sample` would, into RUN/samples/final."""
    sampler = load(folder.path, trust=trust)
    options = SampleOptions.defaults(interpolate=8 if sampler.can_interpolate else None)
    first_look = write_samples(sampler, options, folder.final)
    log.info("images  %s", first_look)
