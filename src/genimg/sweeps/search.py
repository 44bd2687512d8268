"""`hydra/sweeper=optuna`: trials whose values Optuna asks for, judged by the figure of their runs.

The trials lie in a journal in the sweep's folder. One that is not told its figure there is unfinished, so a resumed
search goes on with it, and draws what it would have drawn. Optuna minimises: a figure that rises is told with its sign
turned. It compares all that it is told, so where figures do not compare it is asked for random values.
"""

from __future__ import annotations

import random
import statistics
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from omegaconf import DictConfig

from genimg.common.errors import UserError
from genimg.common.monitored import Monitored, compare
from genimg.config.compose import Composer, line
from genimg.config.hydra_api import IntervalSweep, Override, RangeSweep
from genimg.launch.session import check
from genimg.sweeps.folder import Job, is_of_job
from genimg.sweeps.outcomes import COMPLETE, outcomes
from genimg.sweeps.plan import Plan, make_jobs


class Search:
    """The trials of one sweep. settings: as in configs/hydra/sweeper/optuna.yaml."""

    def __init__(self, composer: Composer, plan: Plan, settings: DictConfig) -> None:
        import optuna
        from optuna.storages.journal import JournalFileBackend, JournalStorage

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.composer, self.plan, self.settings = composer, plan, settings
        overrides = [override for override in composer.parse(plan.words) if is_of_job(override)]
        self.fixed = [line(override) for override in overrides if not override.is_sweep_override()]
        self.space = {o.get_key_element(): _distribution(o) for o in overrides if o.is_sweep_override()}
        journal = JournalStorage(JournalFileBackend(str(plan.folder.journal)))
        self.study = optuna.create_study(storage=journal, study_name="sweep", load_if_exists=True)
        self.jobs: dict[int, list[Job]] = {}  # by the number of the trial
        for job in plan.jobs:  # of a search that goes on, as it planned them: also of trials that are refused by now
            self.jobs.setdefault(int(job.name.partition("-")[0]) // len(plan.seeds), []).append(job)
        for trial in self.study.trials:
            if not trial.state.is_finished():
                self._plan_trial(trial)

    def run(self, run_jobs: Callable[[Sequence[Job]], None]) -> None:
        """Tries what is left to try, by `run_jobs`, until all is tried or the sweep is stopped."""
        tried: set[int] = set()
        while not self.plan.folder.stopped:
            unfinished = [t for t in self.study.trials if t.state.name == "RUNNING" and t.number not in tried]
            # without new ones beside them: those are drawn by the figures of all before, as where nothing was killed
            batch = unfinished[: self.settings.n_jobs] or self._ask()
            if not batch:
                return
            tried |= {trial.number for trial in batch}
            self.plan.folder.save_plan(self.plan.words, self.all_jobs())
            run_jobs([job for trial in batch for job in self.jobs[trial.number]])
            for trial in batch:
                self._tell(trial.number)

    def _ask(self) -> list[Any]:
        """The next trials to run side by side; none where all are tried."""
        batch: list[Any] = []
        while len(batch) < self.settings.n_jobs and len(self.study.trials) < self.settings.n_trials:
            self.study.sampler = self._sampler(len(self.study.trials))
            trial = self.study.ask(self.space)
            if self._plan_trial(trial):
                batch.append(trial)
        return batch

    def all_jobs(self) -> list[Job]:
        """The jobs of all trials so far, in their order."""
        return [job for number in sorted(self.jobs) for job in self.jobs[number]]

    def pruning(self) -> dict[str, Any]:
        """The callback that prunes each unfinished trial, by the name of its job; none where seeds share a trial."""
        if not self.settings.prune or self.plan.repeats:
            return {}
        target, journal = "genimg.training.callbacks.pruning.Pruning", str(self.plan.folder.journal.resolve())
        return {
            self.jobs[trial.number][0].name: {"_target_": target, "journal": journal, "trial": trial.number}
            for trial in self.study.trials
            if trial.state.name == "RUNNING"
        }

    def best(self) -> str | None:
        """A line on the best trial; None where there is none, or where their figures do not compare."""
        finished = [trial for trial in self.study.trials if trial.state.name == "COMPLETE"]
        if not finished or not self._compare():
            return None
        best = min(finished, key=lambda trial: trial.value or 0.0)
        figures = self._figures([best.number])
        if not figures:  # the folders of its runs are gone
            return None
        mean = statistics.fmean(figure.value for figure in figures)
        return f"best of {len(finished)}: {' '.join(_words(best.params))}, {figures[0].name} {mean:.4g}"

    def _figures(self, numbers: Iterable[int]) -> list[Monitored]:
        """Those of the runs of these trials."""
        found = outcomes(self.plan.folder, [job for number in numbers for job in self.jobs.get(number, [])])
        return [outcome.best for outcome in found if outcome.best is not None]

    def _compare(self) -> bool:
        """Whether the figures do that Optuna draws a trial by."""
        return compare(self._figures(t.number for t in self.study.trials if t.state.name in ("COMPLETE", "PRUNED")))

    def _sampler(self, number: int) -> Any:
        """That of one trial, whose randomness is a function of the search's seed and its number."""
        from optuna.samplers import RandomSampler, TPESampler

        seed = random.Random(f"{self.settings.seed} {number}").getrandbits(32)
        if self.settings.sampler == "tpe":
            if self._compare():
                return TPESampler(seed=seed)
            print(f"trial {number} is drawn at random: the figures before it do not all compare", file=sys.stderr)
        return RandomSampler(seed=seed)

    def _plan_trial(self, trial: Any) -> bool:
        """Makes the jobs of a trial; False, and the trial is over, for a combination that the checks refuse."""
        words = [*self.fixed, *_words(trial.params)]
        try:
            config = check(self.composer, words)
        except UserError as error:
            print(f"trial {trial.number} is left out: {error}", file=sys.stderr)
            self.study.tell(trial.number, state=_failed())
            self.jobs.pop(trial.number, None)
            return False
        first = trial.number * len(self.plan.seeds)
        self.jobs[trial.number] = make_jobs(config, words, set(self.space), self.plan.seeds, first)
        return True

    def _tell(self, number: int) -> None:
        """The figure of a trial, the mean over its seeds, when all its jobs are complete."""
        import optuna

        found = outcomes(self.plan.folder, self.jobs[number])
        if any(outcome.state not in COMPLETE for outcome in found):
            return
        costs = [figure.cost for figure in self._figures([number])]
        if any(outcome.state == "pruned" for outcome in found):
            self.study.tell(number, state=optuna.trial.TrialState.PRUNED)
        elif not costs:
            print(f"trial {number} has no figure to be judged by", file=sys.stderr)
            self.study.tell(number, state=_failed())
        else:
            self.study.tell(number, statistics.fmean(costs))


def _words(params: dict[str, Any]) -> list[str]:
    """Overrides, with numbers as long as one reads them."""
    return [f"{key}={value:.6g}" if isinstance(value, float) else f"{key}={value}" for key, value in params.items()]


def _distribution(override: Override) -> Any:
    """What an override may be, as Optuna names it. Lists, and ranges of fractions, are choices without an order."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    sweep = override.value()
    if isinstance(sweep, IntervalSweep):
        kind = IntDistribution if isinstance(sweep.start, int) else FloatDistribution
        return kind(sweep.start, sweep.end, log="log" in sweep.tags)  # pyright: ignore[reportArgumentType]
    if isinstance(sweep, RangeSweep) and all(isinstance(one, int) for one in (sweep.start, sweep.stop, sweep.step)):
        values = sorted(sweep.range())
        step = 1 if "log" in sweep.tags else int(abs(sweep.step))
        return IntDistribution(int(values[0]), int(values[-1]), log="log" in sweep.tags, step=step)
    return CategoricalDistribution(list(override.sweep_string_iterator()))


def _failed() -> Any:
    from optuna.trial import TrialState

    return TrialState.FAIL
