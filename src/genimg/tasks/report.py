"""`task=report`: write the page of a run."""

from typing import Any


def run(config: dict[str, Any]) -> int:
    """Runs the task and returns the exit code."""
    from genimg.report.write import run

    return run(config)
