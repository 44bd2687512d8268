"""What the folder of a sweep says may be a stranger's: `sweep.resume=` takes its values and its names, no code."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from genimg.common.errors import UserError
from genimg.common.run_folder import RunFolder, check_contained
from genimg.config.compose import Composer, line
from genimg.config.hydra_api import Glob, Override
from genimg.sweeps.folder import Job, SweepFolder, is_of_job

# how a sweep is run, in words that start no program and open no file: `hydra.launcher.setup=[...]` is shell, and
# submitit unpickles what lies in its folder
_PLAIN = re.compile(
    r"hydra[./](launcher|sweeper)(\.(?!submitit_folder)\w+)*=[\w.+-]*|hydra\.sweep\.(sub)?dir=(?!.*oc\.).*"
)
_READ = ("data.root", "outputs")  # keys whose folders are where the user has them
# `data.cache=name` and the like, in a dictionary too: a folder to write into, though the name has no slash
_WRITTEN = re.compile(r"(cache|_dir)\s*[=:](?!\s*(true|false|null)\b)", re.IGNORECASE)


def check_folder(folder: SweepFolder) -> None:
    """UserError for a link that leads out of it, and for what is neither file nor folder."""
    check_contained(RunFolder(folder.path), "sweep.resume")


def check_plan(composer: Composer, words: list[str], jobs: list[Job], given: list[Override]) -> None:
    """UserError for a job that lies elsewhere, and for a word that could run code, unless the user gives it again.

    given: the overrides of this command line.
    """
    yours = set(_each(given))
    for job in jobs:
        _check_job(composer, job)
    for word in dict.fromkeys(word for words in (words, *(job.words for job in jobs)) for word in words):
        for one in _each(composer.parse([word])):
            if one not in yours and not _harmless(one, composer):
                hint = "if it is yours, repeat it beside sweep.resume"
                raise UserError("sweep.resume", f"a sweep with {one}", "one that names no class and no file", hint)


def _check_job(composer: Composer, job: Job) -> None:
    """UserError for one that lies elsewhere, and for one whose words would have it lie elsewhere, or be another run.

    What lies there would be removed where it has no checkpoint. The user has no need to repeat such words: no sweep
    of ours writes them.
    """
    if Path(job.name).is_absolute() or ".." in Path(job.name).parts or "${" in job.name:
        raise UserError("sweep.resume", f"a job in {job.name}", "jobs inside the folder of the sweep")
    for override in composer.parse(job.words):
        if override.key_or_group == "resume" or not is_of_job(override):
            raise UserError("sweep.resume", f"a job with {line(override)}", "jobs that say what is trained, not where")


def _each(overrides: Iterable[Override]) -> Iterable[str]:
    """The words in which each value of a list stands alone."""
    for override in overrides:
        yield line(override)
        if override.is_discrete_sweep() and not isinstance(override.value(), Glob):
            yield from (f"{override.get_key_element()}={value}" for value in override.sweep_string_iterator())


def _harmless(word: str, composer: Composer) -> bool:
    key, _, value = word.partition("=")
    key = key.lstrip("+~")
    if "_target_" in word:
        return False
    if key.startswith("hydra"):
        return _PLAIN.fullmatch(word) is not None
    if "${" in word or key.startswith("trust") or _WRITTEN.search(word):
        return False
    names_a_file = ".." in value or "\\" in value or "/" in (value[:1] if composer.is_group(key) else value)
    return key in _READ or not names_a_file
