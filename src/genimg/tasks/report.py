"""`task=report`: writes the report of a run."""

from typing import Any

from genimg.config.cross_checks import Check, resolve_run

CHECKS = (Check(resolve_run, needs_machine=True),)
PATH_KEYS = ("run", "outputs")


def run(config: dict[str, Any]) -> int:
    """Runs the task and returns the exit code."""
    from genimg.report.write import run

    return run(config)
