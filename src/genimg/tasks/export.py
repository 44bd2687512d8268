"""`task=export`: exports the generator of a model to a file for other programs."""

from dataclasses import asdict
from typing import Any

from genimg.common.settings import read_settings
from genimg.config.cross_checks import Check, resolve_run

CHECKS = (Check(resolve_run, needs_machine=True),)
PATH_KEYS = ("run", "outputs", "out")


def run(config: dict[str, Any]) -> int:
    """Runs the task and returns the exit code."""
    from genimg.common.lightning import import_lightning

    import_lightning()
    from genimg.report.run import read
    from genimg.sampling.export.write import ExportSettings, export

    settings = read_settings(ExportSettings, config)
    return export(settings, lambda folder: asdict(found) if (found := read(folder).evaluation) else {})
