"""Stops a trial of a search that falls behind the others."""

import logging
import time
from dataclasses import replace
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from genimg.common.files import write_json
from genimg.common.monitored import Monitored, compare
from genimg.training.callbacks.clock import Clock
from genimg.training.callbacks.find import find, run_folder
from genimg.training.callbacks.metrics import Metrics, monitored

log = logging.getLogger(__name__)

#: The median of fewer trials tells little; and before this share of a run, figures in % say little of its end.
LEAST_TRIALS, WARM_UP = 4, 25


class Pruning(Callback):
    """Ends the run, whole and with its samples, where its best figure so far is worse than the median of the earlier
    trials' at the same progress (Golovin et al. 2017, Google Vizier, sec. 3.2.2).

    The figure is the one the model is judged by. Progress is counted in per cent, so that budgets compare. A trial
    whose figure does not compare with the earlier ones' is not pruned.

    Args:
        journal: the file in which Optuna keeps the trials of the search.
        trial: the number of this one.
    """

    def __init__(self, journal: str, trial: int) -> None:
        self.journal, self.number = journal, trial
        self.seconds_spent = 0.0
        self._trial: Any = None
        self._told: Monitored | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.is_global_zero:  # the first of several processes asks for all: other trials end in between
            return
        import optuna
        from optuna.storages.journal import JournalFileBackend, JournalStorage

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        pruner = optuna.pruners.MedianPruner(n_startup_trials=LEAST_TRIALS, n_warmup_steps=WARM_UP)
        storage = JournalStorage(JournalFileBackend(self.journal))
        study = optuna.load_study(study_name=None, storage=storage, pruner=pruner)
        trial = study.trials[self.number]
        if not trial.state.is_finished():  # else the search is over for it, and the run goes on for its own sake
            self._trial = optuna.trial.Trial(study, trial._trial_id)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        figure = monitored(find(trainer, Metrics).latest, pl_module)
        if figure is None or figure == self._told:
            return
        started = time.monotonic()
        clock = find(trainer, Clock)
        self._told = figure
        behind = False
        if self._trial is not None:
            self._trial.set_user_attr("n", figure.n)
            self._trial.report(figure.cost, round(100 * clock.progress))
            behind = self._trial.should_prune() and self._compares(figure)
        if trainer.strategy.broadcast(behind) and not trainer.should_stop:
            log.info(
                "pruned: %s %.4g at %.0f%% is behind the other trials", figure.name, figure.value, 100 * clock.progress
            )
            if trainer.is_global_zero:
                write_json(run_folder(trainer).pruned, {"images_seen": clock.images_seen, figure.name: figure.value})
            clock.stop(trainer, 0)
        self.seconds_spent += time.monotonic() - started

    def _compares(self, figure: Monitored) -> bool:
        """With those of the earlier trials."""
        from optuna.trial import TrialState

        earlier = self._trial.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        return compare([figure, *(replace(figure, n=other.user_attrs.get("n")) for other in earlier)])
