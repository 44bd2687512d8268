"""`task=rate`: make a study in which people judge samples, or count its answers."""

from typing import Any


def run(config: dict[str, Any]) -> int:
    """Runs the task and returns the exit code."""
    from genimg.evaluation.rating.rate import RateSettings, rate

    rate(RateSettings.from_config(config))
    return 0
