"""`task=compare`: write a page that compares runs."""

from typing import Any


def run(config: dict[str, Any]) -> int:
    """Runs the task and returns the exit code."""
    from genimg.report.compare import run

    return run(config)
