"""From the words behind `-m` to jobs that have passed every check, or one message that says why not."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, open_dict

from genimg.config.check import check
from genimg.config.choices import check_words
from genimg.config.compose import Composer, line, quoted
from genimg.errors import UserError
from genimg.sweeps.folder import Job, SweepFolder

# Hydra would add a log file of its own to each job's folder
QUIET = ["hydra/job_logging=none", "hydra/hydra_logging=none"]
_LONGEST = 200  # characters of the overrides in a folder's name; file systems end at 255


class Plan(NamedTuple):
    """What a sweep is to do."""

    folder: SweepFolder
    words: list[str]  # all that say what the sweep is
    jobs: list[Job]
    configs: list[DictConfig]  # one for each combination, checked
    seeds: bool  # whether sweep.seeds repeats each combination
    fail_fast: bool


def make_plan(composer: Composer, words: list[str]) -> Plan:
    """The plan of a new sweep, or of the one that `sweep.resume=` names. UserError for any mistake; writes nothing."""
    check_words(composer, words)
    given = composer.parse(words)
    _check_one_value(given)
    resumed = next((o.value() for o in given if o.key_or_group == "sweep.resume" and o.value() is not None), None)
    given = [override for override in given if override.key_or_group != "sweep.resume"]
    if resumed is None:
        return _planned(composer, given, None)
    folder = SweepFolder(Path(str(resumed)).expanduser())
    saved, jobs = folder.load_plan()
    plan = _planned(composer, _laid_over(composer.parse(saved), given), folder)
    if [job.words for job in plan.jobs] != [job.words for job in jobs]:
        was = " ".join(word for word in saved if not word.startswith("hydra"))
        raise UserError("sweep.resume", " ".join(words), f"the overrides it began with: {was}", "leave them out")
    return plan._replace(jobs=jobs)


def _planned(composer: Composer, overrides: list[Override], folder: SweepFolder | None) -> Plan:
    combinations = _combinations(overrides)
    if not combinations:
        words = " ".join(map(line, overrides))
        raise UserError("-m", words, "at least one value for each key", "key=1,2,3")
    configs = [check(composer, combination) for combination in combinations]
    first = configs[0]
    if folder is None:
        folder = SweepFolder(Path(str(first.hydra.sweep.dir)))
    settings = first.sweep if "sweep" in first else {}  # only task=train has it
    num_seeds = settings.get("seeds")
    if num_seeds is not None and any(override.key_or_group == "seed" for override in overrides):
        raise UserError("seed", None, "left out: sweep.seeds chooses the seeds, from 0 on", "sweep.seeds=null")
    seeds = [[]] if num_seeds is None else [[f"seed={seed}"] for seed in range(num_seeds)]
    varied = {override.get_key_element() for override in overrides if override.is_sweep_override()}
    jobs: list[Job] = []
    for combination, config in zip(combinations, configs, strict=True):
        own = [word for word in combination if not word.lstrip("+~").startswith(("hydra", "sweep."))]
        for seed in seeds:
            told = [word for word in own if word.split("=")[0] in varied] + seed
            jobs.append(Job(own + seed, folder_name(config, len(jobs), told or own)))
    if len({job.name for job in jobs}) < len(jobs):
        raise UserError("hydra.sweep.subdir", None, "a folder of its own for each job", "put ${hydra.job.num} in it")
    words = [line(override) for override in overrides]
    return Plan(folder, words, jobs, configs, num_seeds is not None, bool(settings.get("fail_fast")))


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


def _check_one_value(overrides: list[Override]) -> None:
    for override in overrides:
        key = override.key_or_group
        if key == "resume":
            raise UserError("resume", "-m", "one run", hint="sweep.resume=FOLDER goes on with a sweep")
        if override.is_sweep_override() and key.startswith(("sweep.", "hydra")):
            raise UserError(key, line(override).partition("=")[2], "one value for the whole sweep")
        if key.startswith("hydra.sweeper."):
            hint = f"{key.removeprefix('hydra.sweeper.params.')}=1,2"
            raise UserError(key, line(override), "left out: the values stand on the command line", hint)


def _combinations(overrides: list[Override]) -> list[list[str]]:
    """The words of every combination of the values."""
    try:
        return [job for batch in BasicSweeper.split_arguments(overrides, None) for job in batch]
    except HydraException as error:
        word = next((line(override) for override in overrides if override.is_sweep_override()), None)
        raise UserError("-m", word, f"values to try one after the other ({error})", "key=1,2,3") from error


def _laid_over(saved: list[Override], given: list[Override]) -> list[Override]:
    """The saved overrides, with those that are given anew in place of theirs."""
    return list({override.get_key_element(): override for override in [*saved, *given]}.values())
