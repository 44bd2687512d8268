"""`task=crafter`: renders clips of the world of Crafter with their actions."""

from typing import Any

from genimg.common.settings import read_settings
from genimg.config.cross_checks import Check, check_crafter

CHECKS = (Check(check_crafter, needs_machine=True),)
PATH_KEYS = ("out",)


def run(config: dict[str, Any]) -> int:
    """Runs the task and returns the exit code."""
    from genimg.data.crafter_clips import CrafterSettings, render

    render(read_settings(CrafterSettings, config))
    return 0
