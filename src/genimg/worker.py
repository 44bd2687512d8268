"""One process of one run: reads the resolved configuration and hands it to its task.

    python -m genimg.worker RUN/config.yaml

Never sees Hydra. Exit codes: 0 done, 1 failed, 2 a user's mistake found late, 130 and 143 after a signal.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import traceback
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from omegaconf import OmegaConf

from genimg.errors import EXIT_CODE, UserError
from genimg.parent import end_with_parent
from genimg.runs import RunFolder

log = logging.getLogger("genimg")


def main(config_path: str) -> int:
    """Runs the task of the configuration at `config_path` and returns the exit code of the process."""
    parent = os.environ.get("GENIMG_PARENT")
    end_with_parent(int(parent) if parent else None)
    config = cast(dict[str, Any], OmegaConf.to_container(OmegaConf.load(config_path), resolve=True))
    run_dir = config.get("run_dir")
    log_file = RunFolder(Path(run_dir)).log if run_dir else None
    _set_up_logging(log_file)
    try:
        return import_module(f"genimg.tasks.{config['task']}").run(config)
    except UserError as error:
        log.error("error: %s", error)
        return EXIT_CODE
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except Exception as error:
        lies_in = f"; the traceback lies in {log_file}" if log_file else ""
        log.error("%s", traceback.format_exc().rstrip())
        log.error("error: the run failed with %s: %s%s", type(error).__name__, error, lies_in)
        return 1


class _Console(logging.Handler):
    """Prints to the sys.stdout or sys.stderr of the moment, which a progress bar may have replaced."""

    def emit(self, record: logging.LogRecord) -> None:
        print(
            self.format(record),
            file=sys.stderr if record.levelno >= logging.WARNING else sys.stdout,
            flush=True,
        )


def _set_up_logging(log_file: Path | None) -> None:
    """Plain lines to the terminal, with the time to the run's train.log; warnings go the same way."""
    logging.captureWarnings(True)
    console = _Console()
    console.setFormatter(logging.Formatter("%(message)s"))
    handlers: list[logging.Handler] = [console]
    if log_file:
        file = logging.FileHandler(log_file, encoding="utf-8")
        file.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
        handlers.append(file)
    logging.basicConfig(level=logging.WARNING, handlers=handlers, force=True)
    log.setLevel(logging.INFO)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
