"""`task=runs`: lists runs."""

from typing import Any

from genimg.common.settings import read_settings
from genimg.config.cross_checks import Check, check_listed

CHECKS = (Check(check_listed, needs_machine=True),)
PATH_KEYS = ("outputs",)


def run(config: dict[str, Any]) -> int:
    """Runs the task and returns the exit code."""
    from genimg.report.listing import ListSettings, show

    show(read_settings(ListSettings, config))
    return 0
