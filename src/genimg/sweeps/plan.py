"""Plans a sweep: the words after `-m` become jobs that have passed every check, or one error message."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from hydra.errors import HydraException
from omegaconf import DictConfig, open_dict

from genimg.common.errors import UserError
from genimg.common.quoting import quoted
from genimg.common.run_folder import find_run, path_of
from genimg.config.choices import check_sweep_keys, check_words
from genimg.config.compose import Composer, line
from genimg.config.flags import SEARCH
from genimg.config.hydra_api import IntervalSweep, Override, flatten, split_sweep
from genimg.config.values import check_rules
from genimg.launch.probe import is_wanted
from genimg.launch.session import check
from genimg.sweeps.folder import Job, SweepFolder, is_job_override
from genimg.sweeps.launchers import choice_of
from genimg.sweeps.resources import Slots, divide_machine
from genimg.sweeps.settings import check_search, translated, with_settings, with_sweeper
from genimg.sweeps.untrusted import check_folder, check_plan

# without these, Hydra would add a log file to each job's folder
_NO_LOGS = ["hydra/job_logging=none", "hydra/hydra_logging=none"]
_MAX_NAME = 200  # characters of the overrides in a folder's name; file systems allow 255


class Plan(NamedTuple):
    """The plan of a sweep."""

    folder: SweepFolder
    words: list[str]  # the overrides of the sweep
    jobs: list[Job]  # of every combination; empty for a search, which chooses its combinations one by one
    seeds: list[list[str]]  # the overrides with which each combination is repeated; [[]] for once
    sweeper: str
    launcher: str
    slots: Slots | None  # for jobs side by side on this machine
    fail_fast: bool
    downloads: bool = True  # into data.root: not if only an untrusted folder names it
    is_new: bool = True  # its folder does not exist yet

    @property
    def repeats(self) -> bool:
        """Whether sweep.seeds repeats each combination."""
        return self.seeds != [[]]


def make_plan(composer: Composer, words: list[str]) -> Plan:
    """Returns the plan of a new sweep, or of the one that `sweep.resume=` names. Raises UserError; writes nothing."""
    check_words(composer, words)
    given = composer.parse(translated(words))
    _check_one_value(given)
    resumed = next((o.value() for o in given if o.key_or_group == "sweep.resume" and o.value() is not None), None)
    given = [override for override in given if override.key_or_group != "sweep.resume"]
    overrides = _merge([], given)
    if resumed is None:
        overrides = with_sweeper(composer, overrides)
        _check_keys(given, overrides)
        return _plan(composer, _with_resolved_runs(composer, with_settings(composer, overrides)), None)
    folder = SweepFolder(Path(str(resumed)).expanduser())
    check_folder(folder)
    saved, jobs = folder.load_plan()
    saved = translated(saved)  # version 0.5 saved the sampler as a value
    check_plan(composer, saved, jobs, given)
    overrides = _merge(composer.parse(saved), given)
    _check_keys(overrides, overrides)
    plan = _plan(composer, overrides, folder)
    if _job_words(composer, plan.words) != _job_words(composer, saved):
        was = " ".join(word for word in saved if not word.startswith("hydra"))
        raise UserError("sweep.resume", " ".join(words), f"the overrides of the sweep: {was}", "omit them")
    downloads = any(override.key_or_group == "data.root" for override in given)
    return plan._replace(jobs=jobs, downloads=downloads, is_new=False)


def _with_resolved_runs(composer: Composer, overrides: list[Override]) -> list[Override]:
    """Replaces init_from=last and the like by paths: for a later job, `last` would be an earlier one."""
    outputs = next((str(one.value()) for one in overrides if one.key_or_group == "outputs"), "outputs")

    def path(text: str) -> str:
        name = composer.parse([f"init_from={text}"])[0].value()
        return text if name is None else quoted(str(path_of(find_run(str(name), outputs, "init_from")).absolute()))

    words = []
    for override in overrides:
        word, sweep = line(override), override.is_sweep_override()
        if override.key_or_group == "init_from" and (not sweep or override.is_discrete_sweep()):
            texts = override.sweep_string_iterator() if sweep else [word.partition("=")[2]]
            word = f"init_from={','.join(map(path, map(str, texts)))}"
        words.append(word)
    return composer.parse(words)


def _plan(composer: Composer, overrides: list[Override], folder: SweepFolder | None) -> Plan:
    sweeper, launcher = choice_of("hydra/sweeper", overrides), choice_of("hydra/launcher", overrides)
    searches = sweeper == "optuna"
    combinations = _probes(overrides) if searches else _combinations(overrides)
    if not combinations:
        words = " ".join(map(line, overrides))
        raise UserError("-m", words, "at least one value for each key", "key=1,2,3")
    configs = [check(composer, combination) for combination in combinations]
    if any(map(is_wanted, configs)):
        hint = "set model.width and data.batch_size to what one run with model.fit=auto prints"
        raise UserError("model.fit", "auto", "null in a sweep, whose jobs would differ in width", hint)
    first = configs[0]
    for part in ("sweeper", "launcher"):
        check_rules(composer, [], first, {f"hydra.{part}.{key}": n for key, n in flatten(first.hydra[part]).items()})
    settings = first.sweep if "sweep" in first else {}  # task=train only
    seeds = _seeds(settings.get("seeds"), overrides)
    varied = {override.get_key_element() for override in overrides if override.is_sweep_override()}
    if searches and not varied:
        raise UserError("hydra/sweeper", sweeper, "a value to search for", "'model.lr=interval(1e-4,1e-2)'")
    if searches:
        check_search(first.hydra.sweeper, configs)
    return Plan(
        folder or SweepFolder(Path(str(first.hydra.sweep.dir))),
        [line(override) for override in overrides],
        [] if searches else _jobs(composer, combinations, configs, varied, seeds),
        seeds,
        sweeper,
        launcher,
        divide_machine(first.hydra.launcher.n_jobs, first.get("trainer")) if launcher == "joblib" else None,
        bool(settings.get("fail_fast")),
    )


def _jobs(
    composer: Composer,
    combinations: list[list[str]],
    configs: list[DictConfig],
    varied: set[str],
    seeds: list[list[str]],
) -> list[Job]:
    """Returns the jobs of all combinations, each with its own folder."""
    jobs: list[Job] = []
    for combination, config in zip(combinations, configs, strict=True):
        words = [line(override) for override in composer.parse(combination) if is_job_override(override)]
        jobs += make_jobs(config, words, varied, seeds, len(jobs))
    if len({job.name for job in jobs}) < len(jobs):
        raise UserError("hydra.sweep.subdir", None, "a different folder for each job", "put ${hydra.job.num} in it")
    return jobs


def _seeds(number: int | None, overrides: list[Override]) -> list[list[str]]:
    """Returns the overrides with which each combination is repeated."""
    if number is None:
        return [[]]
    if any(override.key_or_group == "seed" for override in overrides):
        raise UserError("seed", None, "not set; sweep.seeds sets the seeds, from 0 on", "sweep.seeds=null")
    return [[f"seed={seed}"] for seed in range(number)]


def make_jobs(config: DictConfig, words: list[str], varied: set[str], seeds: list[list[str]], first: int) -> list[Job]:
    """Returns the jobs of one combination, numbered from `first` on. varied: the keys that differ between jobs."""
    distinct = [word for word in words if word.split("=")[0] in varied]
    return [
        Job(words + seed, _folder_name(config, first + index, distinct + seed or words))
        for index, seed in enumerate(seeds)
    ]


def _folder_name(config: DictConfig, number: int, words: list[str]) -> str:
    """Returns `hydra.sweep.subdir` of a job, without characters that are special to the shell or to Hydra."""
    with open_dict(config):
        config.hydra.job.num = number
        config.hydra.job.override_dirname = re.sub(r"[^\w.+-]+", "_", "+".join(words), flags=re.ASCII)[:_MAX_NAME]
    return str(config.hydra.sweep.subdir).rstrip("-")


def sweep_config(composer: Composer, plan: Plan) -> DictConfig:
    """Returns the configuration of the sweep itself, whose `hydra` node configures sweeper and launcher."""
    words = [word for word in plan.words if not word.startswith("hydra.sweep.dir=")]
    return composer.compose([*_NO_LOGS, *words, f"hydra.sweep.dir={quoted(str(plan.folder.path))}"], multirun=True)


def _check_keys(given: list[Override], overrides: list[Override]) -> None:
    """Raises UserError for a given override that has no effect on the sweep of `overrides`."""
    sweeper = choice_of("hydra/sweeper", overrides)
    for override in given:
        check_sweep_keys(override, sweeper)


def _check_one_value(overrides: list[Override]) -> None:
    for override in overrides:
        key = override.key_or_group
        if key == "resume":
            raise UserError("resume", "-m", "a single run", hint="sweep.resume=FOLDER resumes a sweep")
        if override.is_sweep_override() and key.startswith(("sweep.", "hydra", SEARCH)):
            raise UserError(key, line(override).partition("=")[2], "one value for the sweep")


def _probes(overrides: list[Override]) -> list[list[str]]:
    """Returns combinations to check: each value of a list occurs in one, and both ends of each interval."""
    choices = []
    for override in overrides:
        sweep = override.value() if override.is_sweep_override() else None
        if sweep is None:
            choices.append([line(override)])
        elif isinstance(sweep, IntervalSweep):
            _check_interval(override, sweep)
            choices.append([f"{override.get_key_element()}={end}" for end in (sweep.start, sweep.end)])
        else:
            choices.append([f"{override.get_key_element()}={value}" for value in override.sweep_string_iterator()])
    longest = max((len(words) for words in choices), default=0) if all(choices) else 0
    return [[words[index % len(words)] for words in choices] for index in range(longest)]


def _check_interval(override: Override, sweep: IntervalSweep) -> None:
    """Raises UserError for an interval whose start is above its end, or a logarithmic one that contains 0."""
    start, end = sweep.start, sweep.end
    if start is None or end is None:
        return
    key, given = override.get_key_element(), line(override).partition("=")[2]
    if start > end:
        raise UserError(key, given, "an interval from low to high", f"'{key}=interval({end},{start})'")
    if "log" in sweep.tags and start <= 0:
        hint = f"'{key}=tag(log,interval(1e-4,{end}))'"
        raise UserError(key, given, "a logarithmic interval of numbers above 0", hint)


def _combinations(overrides: list[Override]) -> list[list[str]]:
    """Returns the words of every combination of values."""
    try:
        return split_sweep(overrides)
    except HydraException as error:
        word = next((line(override) for override in overrides if override.is_sweep_override()), None)
        hint = "key=1,2,3; hydra/sweeper=optuna searches intervals"
        raise UserError("-m", word, f"a list of values ({error})", hint) from error


def _job_words(composer: Composer, words: list[str]) -> list[str]:
    """Returns the words that determine the jobs of a sweep; the others determine how they run."""
    overrides = composer.parse(words)
    kept = ("sweep.seeds", "hydra/sweeper", SEARCH)
    return [line(o) for o in overrides if is_job_override(o) or o.key_or_group in kept]


def _merge(saved: list[Override], given: list[Override]) -> list[Override]:
    """Returns the saved overrides, replaced by given ones of the same key; the last one counts.

    A given launcher does not take the settings of the saved one.
    """
    if any(override.key_or_group == "hydra/launcher" for override in given):
        saved = [override for override in saved if not override.key_or_group.startswith("hydra.launcher.")]
    return list({override.get_key_element(): override for override in [*saved, *given]}.values())
