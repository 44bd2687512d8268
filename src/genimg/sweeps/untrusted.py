"""Resuming an untrusted sweep: `sweep.resume=` takes values and names from its folder, no code."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from genimg.common.errors import UserError
from genimg.common.run_config import OF_THIS_SESSION, may_set
from genimg.common.run_folder import RunFolder, check_contained
from genimg.common.text import printable
from genimg.config.compose import Composer, line
from genimg.config.flags import SEARCH
from genimg.config.hydra_api import Glob, Override
from genimg.sweeps.folder import Job, SweepFolder, is_job_override

# settings of sweeper and launcher that run no program and open no file: `hydra.launcher.setup=[...]` is shell code,
# submitit unpickles the files in its folder, and a storage may be a file to write to
_HARMLESS_HYDRA = re.compile(
    r"hydra[./](launcher|sweeper)(/sampler)?(\.(?!submitit_folder|storage)\w+)*=[\w.+-]*"
    r"|\+\+hydra\.sweeper\.sampler\.\w+=[\w.+-]*"  # the class is one of those that the package names
    r"|hydra\.sweep\.(sub)?dir=(?!.*oc\.).*"
)
_OF_A_SWEEP = (
    "trainer",
    "experiment",
    SEARCH,
    "outputs",
    "sweep",
)  # besides what a saved run may set; read by new runs only
_LONGEST_NAME = 220  # bytes of a job's folder: file systems allow 255, and its record adds some
_USER_FOLDERS = ("data.root", "outputs")  # keys of folders that the user chooses anyway
# `data.cache=name` and the like, also in a dictionary: a folder to write to, although the name has no slash
_OUTPUT_FOLDER = re.compile(r"(cache|_dir)\s*[=:](?!\s*(true|false|null)\b)", re.IGNORECASE)


def check_folder(folder: SweepFolder) -> None:
    """Raises UserError for a link that leads out of the folder, and for what is neither a file nor a folder."""
    check_contained(RunFolder(folder.path), "sweep.resume")


def check_plan(composer: Composer, words: list[str], jobs: list[Job], given: list[Override]) -> None:
    """Raises UserError for a job outside the folder, and for an override that could run code or write elsewhere.

    given: the overrides of this command line. The user allows such an override by repeating it.
    """
    allowed = set(_each(given))
    for job in jobs:
        _check_job(composer, job)
    for word in dict.fromkeys(word for words in (words, *(job.words for job in jobs)) for word in words):
        for one in _each(composer.parse([word])):
            if one not in allowed and not _is_harmless(one, composer):
                expected = "overrides without classes, files, hosts and numbers of processes"
                hint = "if you trust it, repeat it beside sweep.resume"
                raise UserError("sweep.resume", f"a sweep with {one}", expected, hint)


def to_repeat(composer: Composer, words: list[str]) -> list[str]:
    """Returns the overrides that the command which resumes a sweep with `words` must repeat."""
    overrides = composer.parse(words)
    return [line(one) for one in overrides if not all(_is_harmless(word, composer) for word in _each([one]))]


def _check_job(composer: Composer, job: Job) -> None:
    """Raises UserError for a job whose name or words place it outside the folder of the sweep, or resume another run.

    A run folder without a checkpoint would be removed there. No sweep writes such words, so repeating does not help.
    """
    parts = Path(job.name).parts
    own = parts and not any(one.startswith((".", "/")) or len(os.fsencode(one)) > _LONGEST_NAME for one in parts)
    if not own or "${" in job.name or printable(job.name) != job.name:
        raise UserError("sweep.resume", f"a job in {job.name}", "a job in the folder of the sweep")
    for override in composer.parse(job.words):
        if override.key_or_group == "resume" or not is_job_override(override):
            raise UserError("sweep.resume", f"a job with {line(override)}", "a job without overrides of its folder")


def _each(overrides: Iterable[Override]) -> Iterable[str]:
    """Yields the word of each override, and one for each value of a list."""
    for override in overrides:
        yield line(override)
        if override.is_discrete_sweep() and not isinstance(override.value(), Glob):
            yield from (f"{override.get_key_element()}={value}" for value in override.sweep_string_iterator())


def _is_harmless(word: str, composer: Composer) -> bool:
    key, _, value = word.partition("=")
    key = key.lstrip("+~")
    if "_target_" in word and key != "hydra.sweeper.sampler._target_":
        return False
    if key.startswith("hydra"):
        return _HARMLESS_HYDRA.fullmatch(word) is not None
    if not (may_set(key.replace("/", ".")) or key in _OF_A_SWEEP or key.startswith("sweep.")):
        return False
    if "${" in word or "_args_" in word or _OUTPUT_FOLDER.search(word):
        return False
    if key == "trainer" and not _keeps_machine(value, composer):
        return False
    names_a_file = ".." in value or "\\" in value or "/" in (value[:1] if composer.is_group(key) else value)
    return key in _USER_FOLDERS or not names_a_file


def _keeps_machine(choice: str, composer: Composer) -> bool:
    """Whether a choice of the group `trainer` leaves the number of processes and the like at their defaults."""
    if choice not in composer.choices("trainer"):
        return False
    default, chosen = (composer.defaults(words).trainer for words in ([], [f"trainer={choice}"]))
    return all(chosen[key] == default[key] for key in OF_THIS_SESSION)
