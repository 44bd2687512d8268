"""The tasks of the command, one per file. They import no torch until they run.

Each declares its `CHECKS` and its `PATH_KEYS`, the keys whose values are paths (shell completion offers files there).
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

from genimg.common.errors import UserError
from genimg.config.cross_checks import Check


def checks_of(task: str) -> tuple[Check, ...]:
    """The checks that a task declares. Raises UserError for a task that has no module here."""
    if not task.isidentifier() or find_spec(f"{__name__}.{task}") is None:
        raise UserError("task", task, "a task of genimg", hint="genimg-train --help lists them")
    return import_module(f"{__name__}.{task}").CHECKS
