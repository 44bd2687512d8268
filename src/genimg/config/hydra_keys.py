"""Which of Hydra's own keys one run reads, and which a sweep does. What is not read is refused, not passed over."""

from __future__ import annotations

from hydra.core.override_parser.types import Override

from genimg.common.errors import UserError
from genimg.config.compose import line

_OF_MANY_RUNS = ("sweep.", "hydra/launcher", "hydra/sweeper", "hydra.launcher", "hydra.sweep")
_OWN_FOLDER = "hydra.run.dir"


def check_one_run(override: Override) -> None:
    """UserError for what one run would not read."""
    key = override.key_or_group
    if key.startswith(_OF_MANY_RUNS):
        raise UserError(key, line(override), "-m beside it: it is about many runs")
    _check_own_folder(override, "a run makes its folder by the time", "outputs={}, to hold the runs")
    if key.startswith("hydra") and key != "hydra.searchpath":
        raise UserError(key, line(override), "left out: one run reads nothing of it")


def check_sweep(override: Override, sweeper: str) -> None:
    """UserError for what a sweep would not read, or only as another place for what is tried, as the basic sweeper."""
    _check_own_folder(override, "a sweep has a folder of its own", "hydra.sweep.dir={}")
    key = override.key_or_group
    if sweeper == "basic" and key.startswith("hydra.sweeper."):
        hint = f"{key.removeprefix('hydra.sweeper.params.')}=1,2"
        raise UserError(key, None, "left out: what is tried stands on the command line", hint)
    if sweeper == "optuna" and key == "hydra.sweep.subdir":
        raise UserError(key, None, "left out: a search names the folders of its trials")


def _check_own_folder(override: Override, why: str, instead: str) -> None:
    if override.key_or_group == _OWN_FOLDER:
        folder = line(override).partition("=")[2]
        raise UserError(_OWN_FOLDER, folder, f"left out: {why}", instead.format(folder) if folder else None)
