"""`hydra/sweeper=optuna`: a search whose values Optuna suggests, by the monitored metric of the runs.

The trials are in a journal in the sweep's folder. A trial without a value there is unfinished: a resumed search runs it
again, and suggests the values that it would have suggested without the interruption. Optuna minimises, so a metric that
rises is negated. If the metrics of the trials are not comparable, values are drawn at random.
"""

from __future__ import annotations

import random
import statistics
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from omegaconf import DictConfig

from genimg.common.errors import UserError
from genimg.common.monitored import Monitored, comparable
from genimg.config.compose import Composer, line
from genimg.config.hydra_api import IntervalSweep, Override, RangeSweep
from genimg.launch.session import check
from genimg.sweeps.folder import Job, is_job_override
from genimg.sweeps.journal import open_study
from genimg.sweeps.plan import Plan, make_jobs
from genimg.sweeps.results import COMPLETE, read_results
from genimg.sweeps.samplers import make_sampler
from genimg.sweeps.settings import check_direction
from genimg.sweeps.storage import Copies


class Search:
    """The trials of a sweep.

    Args:
        settings: those of configs/hydra/sweeper/optuna.yaml.
        copies: of the finished trials, in a storage of the user.
    """

    def __init__(self, composer: Composer, plan: Plan, settings: DictConfig, copies: Copies | None = None) -> None:
        self.composer, self.plan, self.settings, self.copies = composer, plan, settings, copies
        overrides = [override for override in composer.parse(plan.words) if is_job_override(override)]
        self.fixed = [line(override) for override in overrides if not override.is_sweep_override()]
        self.space = {o.get_key_element(): _distribution(o) for o in overrides if o.is_sweep_override()}
        self.study = open_study(plan.folder.journal, self.space)
        self.jobs: dict[int, list[Job]] = {}  # by the number of the trial
        for job in plan.jobs:  # of a resumed search
            number = job.name.partition("-")[0]
            if not (number.isdecimal() and len(number) < 10):
                raise UserError("sweep.resume", f"a job in {job.name}", "jobs of a search, numbered from 0")
            self.jobs.setdefault(int(number) // len(plan.seeds), []).append(job)
        unfinished = [trial for trial in self.study.trials if not trial.state.is_finished()]
        if len(unfinished) > settings.n_trials:  # each would be trained, whoever wrote the journal
            got = f"{len(unfinished)} unfinished trials in {plan.folder.journal}"
            expected = f"at most {settings.n_trials}, which is hydra.sweeper.n_trials"
            raise UserError("sweep.resume", got, expected, f"hydra.sweeper.n_trials={len(unfinished)} runs them all")
        for trial in unfinished:
            self._plan_trial(trial)

    def run(self, run_jobs: Callable[[Sequence[Job]], None]) -> None:
        """Runs the remaining trials with `run_jobs`, until none is left or the sweep is stopped."""
        tried: set[int] = set()
        while batch := self._next(tried):
            tried |= {trial.number for trial in batch}
            self.plan.folder.save_plan(self.plan.words, self.all_jobs())
            run_jobs([job for trial in batch for job in self.jobs[trial.number]])
            for trial in batch:
                self._tell(trial.number)
            self._copy()
        self._copy()  # those before this call, and those that were skipped

    def _next(self, tried: set[int]) -> list[Any]:
        """Returns the next trials to run side by side; none if all have run, or the sweep is stopped."""
        if self.plan.folder.stopped:
            return []
        unfinished = [t for t in self.study.trials if t.state.name == "RUNNING" and t.number not in tried]
        # no new trials beside them: those depend on the values of all earlier ones
        return unfinished[: self.settings.n_jobs] or self._ask()

    def _ask(self) -> list[Any]:
        """Returns new trials; none if there are as many as the search may have."""
        batch: list[Any] = []
        while len(batch) < self.settings.n_jobs and len(self.study.trials) < self.settings.n_trials:
            self.study.sampler = self._sampler(len(self.study.trials))
            trial = self.study.ask(self.space)
            if self._plan_trial(trial):
                batch.append(trial)
        return batch

    def all_jobs(self) -> list[Job]:
        """Returns the jobs of all trials so far, in order."""
        return [job for number in sorted(self.jobs) for job in self.jobs[number]]

    def pruning(self) -> dict[str, Any]:
        """Returns the callback that prunes each unfinished trial, by the name of its job; none if it has several."""
        if not self.settings.prune or self.plan.repeats:
            return {}
        target, journal = "genimg.training.callbacks.pruning.Pruning", str(self.plan.folder.journal.resolve())
        return {
            self.jobs[trial.number][0].name: {"_target_": target, "journal": journal, "trial": trial.number}
            for trial in self.study.trials
            if trial.state.name == "RUNNING"
        }

    def best(self) -> str | None:
        """Returns a line about the best trial; None if there is none, or their metrics are not comparable."""
        finished = [trial for trial in self.study.trials if trial.state.name == "COMPLETE"]
        if not finished or not self._comparable():
            return None
        best = min(finished, key=lambda trial: trial.value or 0.0)
        values = self._values([best.number])
        if not values:  # the folders of its runs were removed
            return None
        mean = statistics.fmean(value.value for value in values)
        return f"best of {len(finished)}: {' '.join(_words(best.params))}, {values[0].name} {mean:.4g}"

    def _values(self, numbers: Iterable[int]) -> list[Monitored]:
        """Returns the monitored metrics of the runs of the given trials."""
        results = read_results(self.plan.folder, [job for number in numbers for job in self.jobs.get(number, [])])
        return [result.best for result in results if result.best is not None]

    def _comparable(self) -> bool:
        """Whether the metrics on which Optuna's suggestions depend are comparable."""
        return comparable(self._values(t.number for t in self.study.trials if t.state.name in ("COMPLETE", "PRUNED")))

    def _sampler(self, number: int) -> Any:
        """Returns the sampler of one trial, seeded by the seed of the search and the number of the trial."""
        from optuna.samplers import RandomSampler

        sampler = self.settings.sampler
        first = self.settings.seed if sampler.get("seed") is None else sampler.seed
        seed = random.Random(f"{first} {number}").getrandbits(32)
        if sampler._target_.endswith(".RandomSampler"):
            return RandomSampler(seed=seed)
        if self._comparable():
            return make_sampler(sampler, seed)
        print(f"trial {number} is drawn at random: the metrics before it are not comparable", file=sys.stderr)
        return RandomSampler(seed=seed)

    def _plan_trial(self, trial: Any) -> bool:
        """Creates the jobs of a trial. Returns False, and the trial fails, if a check refuses its values."""
        words = [*self.fixed, *_words(trial.params)]
        try:
            config = check(self.composer, words)
        except UserError as error:
            print(f"trial {trial.number} is skipped: {error}", file=sys.stderr)
            self.study.tell(trial.number, state=_failed())
            self.jobs.pop(trial.number, None)
            return False
        first = trial.number * len(self.plan.seeds)
        self.jobs[trial.number] = make_jobs(config, words, set(self.space), self.plan.seeds, first)
        return True

    def _tell(self, number: int) -> None:
        """Tells Optuna the value of a trial, the mean over its seeds, once all its jobs are complete."""
        import optuna

        results = read_results(self.plan.folder, self.jobs[number])
        if any(result.state not in COMPLETE for result in results):
            return
        measured = [result.best for result in results if result.best is not None]
        for best in measured:
            check_direction(self.settings.direction, best.name, best.direction)
        costs = [best.cost for best in measured]
        if any(result.state == "pruned" for result in results):
            self.study.tell(number, state=optuna.trial.TrialState.PRUNED)
        elif not costs:
            print(f"trial {number} has no value of the monitored metric", file=sys.stderr)
            self.study.tell(number, state=_failed())
        else:
            self.study.tell(number, statistics.fmean(costs))

    def _copy(self) -> None:
        """Copies the finished trials, if the user wants copies, once a value tells the metric."""
        if self.copies is None:
            return
        finished = [trial for trial in self.study.trials if trial.state.is_finished()]
        if values := self._values(trial.number for trial in finished):
            self.copies.update(finished, self.jobs, values[0].name, values[0].direction)


def _words(params: dict[str, Any]) -> list[str]:
    """Returns overrides, with six significant digits."""
    return [f"{key}={value:.6g}" if isinstance(value, float) else f"{key}={value}" for key, value in params.items()]


def _distribution(override: Override) -> Any:
    """Returns the Optuna distribution of an override. Lists and ranges of fractions are unordered choices."""
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
