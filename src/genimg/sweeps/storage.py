"""`hydra.sweeper.storage`: the finished trials of a search, copied where optuna-dashboard shows them.

The search itself reads its journal alone, so that it continues without the storage.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from omegaconf import DictConfig

from genimg.common.errors import UserError, first_line
from genimg.common.text import printable_line
from genimg.sweeps.folder import Job
from genimg.sweeps.settings import DIRECTIONS

_KEY, _NAME = "hydra.sweeper.storage", "hydra.sweeper.study_name"
_SUFFIXES = (".journal", ".log")
_EXPECTED = f"the URL of a database, sqlite:///study.db, or a journal file that ends with {' or '.join(_SUFFIXES)}"


class Copies:
    """A study in a storage of Optuna, with a copy of each finished trial of the search in `folder`.

    Raises:
        UserError: if the storage cannot be opened, or has a study of this name that is not that of the search.
    """

    def __init__(self, settings: DictConfig, folder: Path, is_new: bool) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.folder = str(folder.resolve())
        self.name = str(settings.study_name or "/".join(folder.resolve().parts[-2:]))
        self._storage = _open(str(settings.storage))
        self._study: Any = None
        if self.name not in optuna.get_all_study_names(self._storage):
            return
        self._study = optuna.load_study(study_name=self.name, storage=self._storage)
        of = self._study.user_attrs.get("folder")
        if is_new or of != self.folder:
            whose = f"that of the search in {of}" if of else "another study"
            hint = f"sweep.resume={of} continues it" if of and is_new else f"{_NAME}=NAME"
            raise UserError(
                _NAME, self.name, f"a name that is not in {_shown(str(settings.storage))}; it is {whose}", hint
            )

    def update(
        self, trials: Sequence[Any], jobs: dict[int, list[Job]], metric: str, way: Literal["min", "max"]
    ) -> None:
        """Copies those of `trials`, finished trials of the journal, that the storage does not have.

        A storage that fails does not end the search: the next call copies what is missing.

        Args:
            jobs: those of each trial, by its number.
            metric: the name of the objective.
            way: the direction in which it improves; the journal has its negative if that is `max`.
        """
        try:
            study = self._study = self._study or self._create(metric, way)
            present = {trial.user_attrs.get("trial") for trial in study.get_trials(deepcopy=False)}
            for trial in trials:
                if trial.number not in present:
                    study.add_trial(_copied(trial, jobs.get(trial.number, []), -1 if way == "max" else 1))
        except Exception as error:  # of the driver of any database
            print(f"{_KEY} has no copy of the last trials: {printable_line(first_line(error))}", file=sys.stderr)

    def _create(self, metric: str, way: Literal["min", "max"]) -> Any:
        import optuna

        study = optuna.create_study(storage=self._storage, study_name=self.name, direction=DIRECTIONS[way])
        study.set_user_attr("folder", self.folder)
        study.set_user_attr("metric", metric)
        return study


def _open(url: str) -> Any:
    from optuna.storages import get_storage
    from optuna.storages.journal import JournalFileBackend, JournalStorage

    try:
        if "://" not in url and url.endswith(_SUFFIXES):
            return JournalStorage(JournalFileBackend(str(Path(url).absolute())))  # Optuna's lock is a link to it
        if "://" not in url or url.startswith("redis"):  # Optuna keeps pickles in Redis
            hint = f"sqlite:///{url}" if re.fullmatch(r"[\w./-]+", url) else None
            raise UserError(_KEY, _shown(url), _EXPECTED, hint)
        return get_storage(url)
    except UserError:
        raise
    except Exception as error:  # of the driver of any database
        raise UserError(_KEY, _shown(url), f"{_EXPECTED}: {first_line(error)}") from error


def _shown(url: str) -> str:
    """Returns the URL without its password."""
    return re.sub(r"//([^:/@]*):.*@", r"//\1:***@", url)


def _copied(trial: Any, jobs: Sequence[Job], sign: int) -> Any:
    """Returns a trial of the journal with the values of the metric itself, and the folders of its runs."""
    if trial.value is not None:
        trial.value *= sign
    trial.intermediate_values = {step: sign * value for step, value in trial.intermediate_values.items()}
    trial.user_attrs = {**trial.user_attrs, "trial": trial.number, "runs": [job.name for job in jobs]}
    trial.system_attrs = {}  # of the sampler
    return trial
