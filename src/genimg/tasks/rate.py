"""`task=rate`: creates a study in which people judge samples, or counts its answers."""

from typing import Any

from genimg.common.settings import read_settings
from genimg.config.cross_checks import Check, check_study, resolve_rated_runs

CHECKS = (
    Check(check_study, needs_machine=True),
    Check(resolve_rated_runs, needs_machine=True),
)
PATH_KEYS = ("runs", "results", "study", "outputs", "root")


def run(config: dict[str, Any]) -> int:
    """Runs the task and returns the exit code."""
    from genimg.common.lightning import import_lightning

    import_lightning()
    from genimg.evaluation.rating.rate import RateSettings, rate

    rate(read_settings(RateSettings, config))
    return 0
