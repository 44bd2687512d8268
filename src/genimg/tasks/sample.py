"""`task=sample`: draws samples from a trained model into a folder."""

from typing import Any

from genimg.common.settings import read_settings
from genimg.config.cross_checks import Check, check_images, resolve_run

CHECKS = (
    Check(resolve_run, needs_machine=True),
    Check(check_images, needs_machine=True),
)
PATH_KEYS = ("run", "outputs", "out", "start", "end", "reconstruct", "complete", "project", "latents")


def run(config: dict[str, Any]) -> int:
    """Runs the task and returns the exit code."""
    from genimg.common.lightning import import_lightning

    import_lightning()
    from genimg.sampling.output.options import SampleOptions
    from genimg.sampling.sample import SampleSettings, sample

    sample(read_settings(SampleSettings, config), read_settings(SampleOptions, config))
    return 0
