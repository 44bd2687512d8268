"""`task=export`: write the generator of a model as a file for other programs."""

from typing import Any

from genimg.config.cross_checks import Check, resolve_run

CHECKS = (Check(resolve_run, needs_machine=True),)
PATH_KEYS = ("run", "outputs", "out")


def run(config: dict[str, Any]) -> int:
    """Runs the task and returns the exit code."""
    from genimg.report.run import read
    from genimg.sampling.export.write import run

    return run(config, lambda folder: read(folder).evaluation)
