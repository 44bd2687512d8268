"""`task=compare`: writes a page that compares runs."""

from typing import Any

from genimg.config.cross_checks import Check, resolve_runs

CHECKS = (Check(resolve_runs, needs_machine=True),)
PATH_KEYS = ("runs", "outputs", "out")


def run(config: dict[str, Any]) -> int:
    """Runs the task and returns the exit code."""
    from genimg.report.compare import run

    return run(config)
