"""From the words behind `-m` to jobs that have passed every check, or one message that says why not."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from hydra.errors import HydraException
from omegaconf import DictConfig, open_dict

from genimg.common.errors import UserError
from genimg.common.quoting import quoted
from genimg.config.choices import check_sweep_keys, check_words
from genimg.config.compose import Composer, line
from genimg.config.hydra_api import IntervalSweep, Override, flatten, split_sweep
from genimg.config.values import check_rules
from genimg.launch.session import check
from genimg.sweeps.engines import chosen
from genimg.sweeps.folder import Job, SweepFolder, is_of_job
from genimg.sweeps.places import Places, share_out
from genimg.sweeps.trust import check_folder, check_plan

# Hydra would add a log file of its own to each job's folder
QUIET = ["hydra/job_logging=none", "hydra/hydra_logging=none"]
_LONGEST = 200  # characters of the overrides in a folder's name; file systems end at 255


class Plan(NamedTuple):
    """What a sweep is to do."""

    folder: SweepFolder
    words: list[str]  # all that say what the sweep is
    jobs: list[Job]  # of every combination; of a search, whose combinations come up one by one, none yet
    seeds: list[list[str]]  # what each combination is repeated with: [[]] for once
    sweeper: str
    launcher: str
    places: Places | None  # for jobs side by side on this machine
    fail_fast: bool
    downloads: bool = True  # into data.root: not where only the folder of a resumed sweep names it

    @property
    def repeats(self) -> bool:
        """Whether sweep.seeds repeats each combination."""
        return self.seeds != [[]]


def make_plan(composer: Composer, words: list[str]) -> Plan:
    """The plan of a new sweep, or of the one that `sweep.resume=` names. UserError for any mistake; writes nothing."""
    check_words(composer, words)
    given = composer.parse(words)
    _check_one_value(given)
    resumed = next((o.value() for o in given if o.key_or_group == "sweep.resume" and o.value() is not None), None)
    given = [override for override in given if override.key_or_group != "sweep.resume"]
    if resumed is None:
        _check_read(given, given)
        return _planned(composer, _laid_over([], given), None)
    folder = SweepFolder(Path(str(resumed)).expanduser())
    check_folder(folder)
    saved, jobs = folder.load_plan()
    check_plan(composer, saved, jobs, given)
    overrides = _laid_over(composer.parse(saved), given)
    _check_read(given, overrides)  # not the saved ones: an older version let some pass, and read them no more
    plan = _planned(composer, overrides, folder)
    if _what(composer, plan.words) != _what(composer, saved):
        was = " ".join(word for word in saved if not word.startswith("hydra"))
        raise UserError("sweep.resume", " ".join(words), f"the overrides it began with: {was}", "leave them out")
    return plan._replace(jobs=jobs, downloads=any(override.key_or_group == "data.root" for override in given))


def _planned(composer: Composer, overrides: list[Override], folder: SweepFolder | None) -> Plan:
    sweeper, launcher = chosen(overrides, "hydra/sweeper"), chosen(overrides, "hydra/launcher")
    searches = sweeper == "optuna"
    combinations = _probes(overrides) if searches else _combinations(overrides)
    if not combinations:
        words = " ".join(map(line, overrides))
        raise UserError("-m", words, "at least one value for each key", "key=1,2,3")
    configs = [check(composer, combination) for combination in combinations]
    first = configs[0]
    for part in ("sweeper", "launcher"):
        check_rules(composer, [], first, {f"hydra.{part}.{key}": n for key, n in flatten(first.hydra[part]).items()})
    settings = first.sweep if "sweep" in first else {}  # only task=train has it
    seeds = _seeds(settings.get("seeds"), overrides)
    varied = {override.get_key_element() for override in overrides if override.is_sweep_override()}
    if searches and not varied:
        raise UserError("hydra/sweeper", sweeper, "a value to search for", "'model.lr=interval(1e-4,1e-2)'")
    return Plan(
        folder or SweepFolder(Path(str(first.hydra.sweep.dir))),
        [line(override) for override in overrides],
        [] if searches else _jobs(composer, combinations, configs, varied, seeds),
        seeds,
        sweeper,
        launcher,
        share_out(first.hydra.launcher.n_jobs, first.get("trainer")) if launcher == "joblib" else None,
        bool(settings.get("fail_fast")),
    )


def _jobs(
    composer: Composer,
    combinations: list[list[str]],
    configs: list[DictConfig],
    varied: set[str],
    seeds: list[list[str]],
) -> list[Job]:
    """Those of all combinations, each with a folder of its own."""
    jobs: list[Job] = []
    for combination, config in zip(combinations, configs, strict=True):
        words = [line(override) for override in composer.parse(combination) if is_of_job(override)]
        jobs += make_jobs(config, words, varied, seeds, len(jobs))
    if len({job.name for job in jobs}) < len(jobs):
        raise UserError("hydra.sweep.subdir", None, "a folder of its own for each job", "put ${hydra.job.num} in it")
    return jobs


def _seeds(number: int | None, overrides: list[Override]) -> list[list[str]]:
    """What each combination is repeated with."""
    if number is None:
        return [[]]
    if any(override.key_or_group == "seed" for override in overrides):
        raise UserError("seed", None, "left out: sweep.seeds chooses the seeds, from 0 on", "sweep.seeds=null")
    return [[f"seed={seed}"] for seed in range(number)]


def make_jobs(config: DictConfig, words: list[str], varied: set[str], seeds: list[list[str]], first: int) -> list[Job]:
    """The jobs of one combination, numbered from `first` on; varied: the keys that tell it from the others."""
    told = [word for word in words if word.split("=")[0] in varied]
    return [
        Job(words + seed, folder_name(config, first + index, told + seed or words)) for index, seed in enumerate(seeds)
    ]


def folder_name(config: DictConfig, number: int, told: list[str]) -> str:
    """`hydra.sweep.subdir` of a job, of characters that neither the shell nor Hydra reads as its own.

    told: those of its overrides that tell it from the others.
    """
    with open_dict(config):
        config.hydra.job.num = number
        config.hydra.job.override_dirname = re.sub(r"[^\w.+-]+", "_", "+".join(told), flags=re.ASCII)[:_LONGEST]
    return str(config.hydra.sweep.subdir).rstrip("-")


def master(composer: Composer, plan: Plan) -> DictConfig:
    """The configuration of the sweep itself, from whose `hydra` node a launcher is made."""
    words = [word for word in plan.words if not word.startswith("hydra.sweep.dir=")]
    return composer.compose([*QUIET, *words, f"hydra.sweep.dir={quoted(str(plan.folder.path))}"], multirun=True)


def _check_read(given: list[Override], overrides: list[Override]) -> None:
    """Refuses what is given to the sweep of these overrides and would not be read."""
    for override in given:
        check_sweep_keys(override, chosen(overrides, "hydra/sweeper"))


def _check_one_value(overrides: list[Override]) -> None:
    for override in overrides:
        key = override.key_or_group
        if key == "resume":
            raise UserError("resume", "-m", "one run", hint="sweep.resume=FOLDER goes on with a sweep")
        if override.is_sweep_override() and key.startswith(("sweep.", "hydra")):
            raise UserError(key, line(override).partition("=")[2], "one value for the whole sweep")


def _probes(overrides: list[Override]) -> list[list[str]]:
    """Combinations in which each value of a list stands once, and both ends of each interval: to be checked."""
    choices = []
    for override in overrides:
        sweep = override.value() if override.is_sweep_override() else None
        if sweep is None:
            choices.append([line(override)])
        elif isinstance(sweep, IntervalSweep):
            choices.append([f"{override.get_key_element()}={end}" for end in (sweep.start, sweep.end)])
        else:
            choices.append([f"{override.get_key_element()}={value}" for value in override.sweep_string_iterator()])
    longest = max((len(words) for words in choices), default=0) if all(choices) else 0
    return [[words[index % len(words)] for words in choices] for index in range(longest)]


def _combinations(overrides: list[Override]) -> list[list[str]]:
    """The words of every combination of the values."""
    try:
        return split_sweep(overrides)
    except HydraException as error:
        word = next((line(override) for override in overrides if override.is_sweep_override()), None)
        hint = "key=1,2,3; hydra/sweeper=optuna searches intervals"
        raise UserError("-m", word, f"values to try one after the other ({error})", hint) from error


def _what(composer: Composer, words: list[str]) -> list[str]:
    """Those of a sweep's words that say what its jobs are; the rest says how they run."""
    said = ("sweep.seeds", "hydra/sweeper")
    return [
        line(override) for override in composer.parse(words) if is_of_job(override) or override.key_or_group in said
    ]


def _laid_over(saved: list[Override], given: list[Override]) -> list[Override]:
    """The saved overrides, with those that are given anew in place of theirs, of a key given twice the last; another
    launcher takes no settings of the one before.
    """
    if any(override.key_or_group == "hydra/launcher" for override in given):
        saved = [override for override in saved if not override.key_or_group.startswith("hydra.launcher.")]
    return list({override.get_key_element(): override for override in [*saved, *given]}.values())
