"""`task=train`: fit a model, keep its checkpoints, then draw samples from the best."""

from typing import Any


def run(config: dict[str, Any]) -> int:
    """Runs the task and returns the exit code."""
    from genimg.training.fit import run

    return run(config)
