"""`task=sample`: draw samples from a trained model into a folder."""

from typing import Any


def run(config: dict[str, Any]) -> int:
    """Runs the task and returns the exit code."""
    from genimg.sampling.sample import run

    return run(config)
