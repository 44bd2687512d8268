"""model.fit=auto: times a few steps of some widths and batch sizes, and chooses by the rules of `common/widths.py`.

The command starts this process before that of the run, reads the choice from the file, and adds it to its overrides.
"""

import gc
import logging
import math
import time
from dataclasses import replace

import torch

from genimg.common.build import Builder
from genimg.common.errors import UserError
from genimg.common.files import write_json
from genimg.common.settings import Node
from genimg.common.widths import BATCH_SIZES, CHOICE, choose_batch_size, choose_width, describe
from genimg.training.callbacks.clock import Budget
from genimg.training.dry_run import StepTimer, shortened
from genimg.training.machine import Machine
from genimg.training.settings import TrainSettings
from genimg.training.setup import build_data, build_run

log = logging.getLogger(__name__)

TIMED = 8  # steps of a trial: two penalties, if each fourth step has one
SHARE, LEAST = 0.05, 20  # of the budget, and seconds: the time of all trials, the larger of the two
TRIALS = 5  # that this time is for; a trial takes longer if it takes longer than its share for two steps


class Interrupted(Exception):
    """A signal ended a trial. exit_code: of the command."""

    def __init__(self, exit_code: int) -> None:
        super().__init__(exit_code)
        self.exit_code = exit_code


def probe(settings: TrainSettings, candidates: list[Node], machine: Machine) -> int:
    """Chooses the width and the batch size, and writes them to a file in `run_dir`. Returns the exit code.

    candidates: the node of the model at each width, the narrowest first.
    """
    minutes = settings.budget.minutes
    assert minutes is not None, "checked by the command"
    trials = Trials(settings, candidates, machine, max(LEAST, SHARE * 60 * minutes))
    most = Budget.from_settings(settings.budget, trials.data.num_items, trials.data.step_size).images or math.inf
    log.info("fit       times some widths, in at most about %.0f s", trials.seconds)
    try:
        if machine.accelerator == "gpu":
            trials.choose_batch_size()
        chosen, next_wider = choose_width(
            list(trials.nodes), trials.default, trials.speed, lambda speed: min(most, 60 * minutes * speed)
        )
    except Interrupted as stop:
        return stop.exit_code
    log.info("fit       %s", describe(chosen, next_wider, trials.data.batch_size, minutes))
    write_json(settings.run_dir / CHOICE, {"width": chosen.width, "batch_size": trials.data.batch_size})
    return 0


class Trials:
    """Measures images per second, with the data loaded once.

    seconds: of all trials. Afterwards no width above the default is tried.
    """

    def __init__(self, settings: TrainSettings, candidates: list[Node], machine: Machine, seconds: float) -> None:
        self.settings, self.machine, self.seconds = settings, machine, seconds
        self.nodes = {node["width"]: node for node in candidates}
        self.default: int = settings.model["width"]
        self.data = build_data(settings, Builder(settings.trust))
        self.started = time.monotonic()

    def choose_batch_size(self) -> None:
        """Sets the batch size of the data, chosen at the default width."""
        default = self.data.batch_size
        sizes = [
            default,
            *(size for size in BATCH_SIZES if default < size <= self.data.num_items // self.data.batches_per_step),
        ]

        def speed(size: int) -> float | None:
            self.data.batch_size = size
            return self._speed_or_none(self.default, needed=size == default)

        self.data.batch_size = choose_batch_size(sizes, speed)

    def speed(self, width: int) -> float | None:
        """Images per second; None if this width cannot be trained, or there is no time left to try it."""
        if width > self.default and time.monotonic() - self.started > self.seconds:
            return None
        return self._speed_or_none(width, needed=width == self.default)

    def _speed_or_none(self, width: int, needed: bool) -> float | None:
        """needed: raise the error of a size that cannot be trained, instead of returning None."""
        try:
            return self._measure(width)
        except (UserError, torch.OutOfMemoryError):  # group_width does not divide it, or the memory is too small
            if needed:
                raise
            return None

    def _measure(self, width: int) -> float:
        gc.collect()  # the networks of the last trial, which a Trainer refers to in a cycle
        timer = StepTimer(TIMED, limit=self.seconds / TRIALS)
        short = replace(shortened(self.settings, self.settings.run_dir), model=self.nodes[width])
        trainer, run = build_run(short, self.machine, None, [timer], self.data)
        try:
            trainer.fit(run.model, datamodule=run.data)
        except SystemExit as error:  # Lightning's answer to Ctrl-C before the first step
            raise KeyboardInterrupt from error
        if run.clock.exit_code:
            raise Interrupted(run.clock.exit_code)
        return timer.speed
