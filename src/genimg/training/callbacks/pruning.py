"""Stops a trial of a search that is worse than the earlier trials."""

import logging
import math
from dataclasses import replace
from typing import Any, ClassVar

from pytorch_lightning import LightningModule, Trainer

from genimg.common.files import write_json
from genimg.common.monitored import Monitored, comparable
from genimg.training.callbacks.base import RunCallback
from genimg.training.callbacks.metrics import monitored

log = logging.getLogger(__name__)

#: Finished trials that the median needs, and the per cent of a run before which a value says little about its end.
LEAST_TRIALS, WARM_UP = 4, 25


class Pruning(RunCallback):
    """Ends the run early, with its samples, if its best value so far is worse than the median of the earlier trials at
    the same progress (Golovin et al. 2017, Google Vizier, sec. 3.2.2).

    The value is that of the metric that the model monitors. Progress is counted in per cent, so that budgets compare. A
    trial whose value does not compare with the earlier ones' is not pruned.

    Args:
        journal: file in which Optuna keeps the trials of the search.
        trial: number of this trial.
    """

    passive: ClassVar[bool] = False

    def __init__(self, journal: str, trial: int) -> None:
        self.journal, self.number = journal, trial
        self._trial: Any = None
        self._reported: Monitored | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.is_global_zero:  # rank 0 decides for all: other trials end in between
            return
        import optuna
        from optuna.storages.journal import JournalFileBackend, JournalStorage

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        pruner = optuna.pruners.MedianPruner(n_startup_trials=LEAST_TRIALS, n_warmup_steps=WARM_UP)
        storage = JournalStorage(JournalFileBackend(self.journal))
        study = optuna.load_study(study_name=None, storage=storage, pruner=pruner)
        trial = study.trials[self.number]
        if not trial.state.is_finished():  # a finished trial is a run that is resumed outside the search
            self._trial = optuna.trial.Trial(study, trial._trial_id)

    def after_step(self, trainer: Trainer) -> None:
        run = self.context
        value = monitored(run.metrics.latest, run.model)
        if value is None or value == self._reported or not math.isfinite(value.value):
            return
        self._reported = value
        with self.timed():
            prune = trainer.strategy.broadcast(self._trial is not None and self._should_prune(value))
        if prune and not trainer.should_stop:
            log.info(
                "pruned: %s %.4g at %.0f%% is worse than the other trials",
                value.name,
                value.value,
                100 * run.clock.progress,
            )
            if trainer.is_global_zero:
                write_json(run.folder.pruned, {"images_seen": run.clock.images_seen, value.name: value.value})
            run.clock.stop(trainer, 0)

    def _should_prune(self, value: Monitored) -> bool:
        """Reports the value to the search and returns its decision."""
        from optuna.trial import TrialState

        self._trial.set_user_attr("n", value.n)
        step = round(100 * self.context.clock.progress)
        reported = self._trial.study.get_trials(deepcopy=False)[self.number].intermediate_values
        if step not in reported:  # it is if the trial is trained again; Optuna keeps the first value of a step
            self._trial.report(value.cost, step)
        if not self._trial.should_prune():
            return False
        earlier = self._trial.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        return comparable([value, *(replace(value, n=other.user_attrs.get("n")) for other in earlier)])
