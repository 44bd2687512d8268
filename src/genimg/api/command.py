"""A task of the command, run from Python: mistakes are exceptions."""

import signal
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from genimg.api.settings import words_of
from genimg.common import raised
from genimg.common.errors import UserError
from genimg.config.compose import Composer, without_hydra
from genimg.config.hydra_api import flatten
from genimg.launch.session import Session


class RunFailed(RuntimeError):
    """A task failed after it began: training diverged, memory ran out, a process died. The output above says what.

    Attributes:
        exit_code: that of the command.
        run_dir: the folder of the run and its log; None for a task without one.
    """

    def __init__(self, task: str, exit_code: int, run_dir: Path | None) -> None:
        kept = "" if run_dir is None else f"; its log is {run_dir / 'train.log'}"
        super().__init__(f"genimg {task} ended with exit code {exit_code}{kept}")
        self.task, self.exit_code, self.run_dir = task, exit_code, run_dir

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process can receive it."""
        return RunFailed, (self.task, self.exit_code, self.run_dir)


def session_of(task: str, words: Sequence[str], settings: Mapping[str, Any]) -> Session:
    """A call of the command.

    Args:
        words: as on the command line.
        settings: the same by name, as for `words_of`.

    Raises:
        UserError: for a word that is no setting, or an unknown name.
    """
    for word in words:
        if not isinstance(word, str) or ("=" not in word and not word.startswith("~")):
            raise UserError(f"genimg {task}", word, "key=value; flags such as -m belong to the command")
    if "task" in settings or any(word.lstrip("+").startswith("task=") for word in words):
        raise UserError("task", None, f"no task: this is {task}", "genimg.Run has methods for others")
    return Session(task, [*words, *words_of(settings, _keys(Composer(task)))], None)


def run_command(session: Session) -> None:
    """Runs the task of a session.

    Raises:
        UserError: for a mistake, also one that only the worker finds.
        RunFailed: if the task failed.
        KeyboardInterrupt: after Ctrl-C.
    """
    with tempfile.TemporaryDirectory(prefix="genimg-") as folder:
        file = Path(folder, "error.json")
        with raised.asked_for(file):
            exit_code = session.run(cfg=None, resolve=False)
        if file.exists():
            raise raised.read(file)
    if exit_code == 128 + signal.SIGINT:
        raise KeyboardInterrupt
    if exit_code:
        raise RunFailed(session.task, exit_code, session.run_dir)


def _keys(composer: Composer) -> list[str]:
    """The keys of the default configuration of a task, and its groups."""
    return [*flatten(without_hydra(composer.defaults([]))), *composer.groups()]
