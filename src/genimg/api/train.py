"""`genimg.train`: a run of the command, started from Python."""

from typing import Any

from genimg.api.command import run_command, session_of
from genimg.api.run import Run
from genimg.common.errors import UserError


def train(*words: str, **settings: Any) -> Run:
    """Trains a model as `genimg-train` does, in processes of its own, and returns the run.

    The output of the run is printed while it trains, in a notebook below the cell.

    Args:
        words: as on the command line: `"model=vae"`, `"data.image_size=64"`.
        settings: the same by name; underscores stand for dots: `budget_minutes=2`.

    Raises:
        UserError: for a mistake in the settings or the data; nothing was written.
        RunFailed: if the run failed after it began.
        KeyboardInterrupt: after Ctrl-C, when the run has saved; `genimg.Run("last")` is that run, and
            `genimg.train("resume=last")` continues it.

    Example:
        >>> import genimg
        >>> run = genimg.train("model=vae", "data=digits", budget_minutes=1)
        >>> images = run.sample(16)  # (16, C, H, W), values in [-1, 1]
    """
    session = session_of("train", words, settings)
    for override in session.composer.parse(session.words):
        if override.key_or_group == "dry_run" and override.value() is True:
            raise UserError("dry_run", "true", "false: a dry run leaves no run", "genimg-train dry_run=true")
    run_command(session)
    assert session.run_dir is not None  # of a task that succeeded
    return Run(session.run_dir.absolute())
