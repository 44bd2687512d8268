"""One process of one run: reads the resolved configuration and hands it to its task.

    python -m genimg.launch.worker RUN/config.yaml

Never sees Hydra. One of several reads its rank from the environment; the first of them speaks, the others write files
of their own beside train.log. Exit codes: 0 done, 1 failed, 2 a user's mistake found late, 130 and 143 after a signal.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import signal
import sys
import threading
import traceback
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from omegaconf import OmegaConf

from genimg.common import ranks
from genimg.common.errors import EXIT_CODE, PeerLost, PeersUnavailable, RunFinished, UserError
from genimg.common.processes import Control, end_with_parent, hear_interrupts, parent
from genimg.common.run_folder import RunFolder

log = logging.getLogger("genimg")


def main(config_path: str) -> int:
    """Runs the task of the configuration at `config_path` and returns the exit code of the process."""
    control = Control.of_environment()
    end_with_parent(signal.SIGTERM if control is None else signal.SIGKILL, parent())
    if control is None:
        return _run(config_path)[0]
    if control.exit_code() is not None:  # started anew by the agent, after an end that another try will not change
        return 1
    if (asked := control.asked_to_stop()) is not None:  # started anew though a signal has ended the group
        return asked
    exit_code, final = _run(config_path)
    # the others are done before the first one is, which then draws
    if final and (exit_code != 0 or ranks.rank() == 0):
        control.end_with(exit_code)
    return 0 if final and exit_code != EXIT_CODE else exit_code


def _run(config_path: str) -> tuple[int, bool]:
    """The exit code, and whether it is the run's: not where this process has failed and might be started anew."""
    config = cast(dict[str, Any], OmegaConf.to_container(OmegaConf.load(config_path), resolve=True))
    run_dir = config.get("run_dir")
    log_file = RunFolder(Path(run_dir)).log_of(ranks.rank()) if run_dir else None
    _set_up_logging(log_file)
    try:
        hear_interrupts()
        return import_module(f"genimg.tasks.{config['task']}").run(config), True
    except UserError as error:
        _say(f"error: {error}")
        return EXIT_CODE, True
    except KeyboardInterrupt:
        return 128 + signal.SIGINT, False  # the agent ends the others, and knows that it was asked for
    except RunFinished:
        return 0, True
    except PeersUnavailable as error:
        _say(f"error: {error}: the run ends, and goes on with resume=RUN on each machine")
        if (control := Control.of_environment()) is not None:
            control.end_with(1)
        return 1, False
    except PeerLost as error:
        log.error("%s", error, extra={"file_only": True})
        in_group = Control.of_environment() is not None
        log.error("error: another process of the run has ended, and this one with it", extra={"file_only": in_group})
        return 1, False
    except Exception as error:
        trace = traceback.format_exc().rstrip()
        if (lacking := _lacking(error)) is not None:
            log.error("%s", trace, extra={"file_only": True})  # a network of one's own may ask for too much by mistake
            _say(f"error: {lacking}")
            return 1, False
        lies_in = f"; the traceback lies in {log_file}" if log_file else ""
        _say(f"{trace}\nerror: the run failed with {type(error).__name__}: {error}{lies_in}")
        return 1, False


def _lacking(error: Exception) -> str | None:
    """What the machine has too little of, where that is why."""
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return f"the disk is full, and the run ends: {error}"
    # torch's by name: without torch there is no such error; its processor's is a RuntimeError
    torchs = type(error).__name__ == "OutOfMemoryError" or "DefaultCPUAllocator: can't allocate memory" in str(error)
    if torchs or isinstance(error, MemoryError):
        device = "GPU" if "CUDA" in str(error) else "machine"
        asked = re.search(r"([Tt]ried|Unable) to allocate [\d.]+ \w+", str(error))
        return (
            f"the memory of the {device} is full, and the run ends{f': {asked[0].lower()}' if asked else ''}\n"
            "  What needs less: a smaller data.batch_size, model.width or data.image_size; dry_run=true tells how much."
        )
    return None


def _say(message: str) -> None:
    """An error; of several processes, in the terminal by the first that fails alone: the others fail because of it."""
    control = Control.of_environment()
    speaks = control is None or control.speaks(ranks.restarts())
    log.error("%s", message, extra={"file_only": not speaks})


class _Console(logging.Handler):
    """Prints to the sys.stdout or sys.stderr of the moment, which a progress bar may have replaced."""

    def filter(self, record: logging.LogRecord) -> bool | logging.LogRecord:
        return not getattr(record, "file_only", False) and super().filter(record)

    def emit(self, record: logging.LogRecord) -> None:
        print(
            self.format(record),
            file=sys.stderr if record.levelno >= logging.WARNING else sys.stdout,
            flush=True,
        )


def _thread_failed(failure: threading.ExceptHookArgs) -> None:
    """Threads are the libraries': what their failure means for the run is told where it is noticed."""
    log.error("a thread failed: %r", failure.exc_value, extra={"file_only": True})


def _set_up_logging(log_file: Path | None) -> None:
    """Plain lines to the terminal, with the time to the run's train.log; warnings go the same way."""
    logging.captureWarnings(True)
    logging.raiseExceptions = False  # a full disk costs lines of the file, not the run
    threading.excepthook = _thread_failed
    console = _Console(logging.INFO if ranks.rank() == 0 else logging.ERROR)
    console.setFormatter(logging.Formatter("%(message)s"))
    handlers: list[logging.Handler] = [console]
    if log_file:
        file = logging.FileHandler(log_file, encoding="utf-8")
        file.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
        handlers.append(file)
    logging.basicConfig(level=logging.WARNING, handlers=handlers, force=True)
    log.setLevel(logging.INFO)


def _end(exit_code: int) -> None:
    """Ends the process, one of several without its interpreter's farewell.

    Threads of gloo may live as long as a model in parts, and one that lets go of a tensor while the interpreter ends
    aborts the process.
    """
    if ranks.is_one_of_several():
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(exit_code)
    sys.exit(exit_code)


if __name__ == "__main__":
    _end(main(sys.argv[1]))
