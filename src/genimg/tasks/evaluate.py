"""`task=evaluate`: measures a trained model and writes evaluation.json."""

from typing import Any

from genimg.common.run_folder import RunFolder
from genimg.common.settings import read_settings
from genimg.config.cross_checks import Check, check_features, check_files, resolve_run

CHECKS = (
    Check(resolve_run, needs_machine=True),
    Check(check_features),
    Check(check_files, needs_machine=True),
)
PATH_KEYS = ("run", "outputs", "out", "root", "weights", "cache")


def run(config: dict[str, Any]) -> int:
    """Runs the task and returns the exit code. Updates the report of the run, if it is a run folder."""
    from genimg.common.lightning import import_lightning

    import_lightning()
    from genimg.evaluation.evaluate import EvaluateSettings, evaluate
    from genimg.report.write import leave_report

    folder = RunFolder(evaluate(read_settings(EvaluateSettings, config)))
    if folder.config.is_file():
        leave_report(folder)
    return 0
