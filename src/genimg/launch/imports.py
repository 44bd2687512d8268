"""Where a worker imports from: the installed packages, and the working folder only for classes of the user's own.

Python is started with `-P`, which keeps the working folder off the import path: it may be a folder from someone else,
and a `random.py` or `torch.py` in it would run in place of the module of that name.
"""

from __future__ import annotations

import contextlib
import os
import sys
from importlib.util import find_spec
from typing import Any

from genimg.common.build import targets


def allow_own_classes(config: dict[str, Any]) -> None:
    """Appends the working folder to `sys.path` if the user names a class of a package that is not installed.

    As the last entry, it cannot replace an installed module.

    Args:
        config: the resolved configuration of the task.
    """
    if not all(map(_is_installed, named_packages(config))):
        with contextlib.suppress(FileNotFoundError):  # the working folder was deleted
            sys.path.append(os.getcwd())


def named_packages(config: dict[str, Any]) -> set[str]:
    """The packages of the classes that the command line names.

    Those are all classes of a new run. A resumed run and the other tasks read classes from a file besides, and the user
    names those that the file may use in `trust`.
    """
    if config.get("task") == "train" and not config.get("resume"):
        names = [target for _, target in targets(config)]
    else:
        names = [*map(str, config.get("trust") or ())]
        names += [name] if "." in (name := str(config.get("features"))) else []
    return {package for name in names if (package := name.partition(".")[0])}


def _is_installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ValueError:  # __main__, and other modules without a spec
        return True
