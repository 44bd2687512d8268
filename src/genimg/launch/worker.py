"""One process of a run: reads the resolved configuration and runs its task. Hydra is not involved.

    python -P -m genimg.launch.worker RUN/config.yaml

In a distributed run the process reads its rank from the environment. Rank 0 logs to the terminal and to train.log,
the others to files of their own beside it. Exit codes: 0 done; 1 failed; 2 an invalid input that only the task found;
130 and 143 after a signal.
"""

from __future__ import annotations

import errno
import logging
import re
import signal
import sys
import threading
import traceback
from importlib import import_module
from io import TextIOWrapper
from pathlib import Path
from typing import Any, cast

from omegaconf import OmegaConf

from genimg.common import ranks
from genimg.common.display import protect_standard_streams
from genimg.common.errors import EXIT_CODE, PeerLost, PeersUnavailable, RunFinished, UserError
from genimg.common.files import open_no_link
from genimg.common.processes import ProcessGroupFiles, end_with_parent, parent_pid, unblock_interrupts
from genimg.common.raised import pass_on
from genimg.common.run_folder import RunFolder
from genimg.common.text import printable
from genimg.launch.imports import allow_own_classes

log = logging.getLogger("genimg")

# messages without memory: of torch's allocator, and of the loader of its libraries (`ulimit -v`)
_OF_TORCH = ("DefaultCPUAllocator: can't allocate memory", "failed to map segment from shared object")


def main(config_path: str) -> int:
    """Runs the task of the configuration at `config_path` and returns the exit code of the process."""
    protect_standard_streams()
    files = ProcessGroupFiles.from_environment()
    end_with_parent(signal.SIGTERM if files is None else signal.SIGKILL, parent_pid())
    if files is None:
        return _run(config_path)[0]
    if files.exit_code() is not None:  # restarted by the agent, after an error that a restart does not solve
        return 1
    if (stop := files.requested_stop()) is not None:  # restarted after a signal that ended the group
        return stop
    exit_code, final = _run(config_path)
    if final and (exit_code != 0 or ranks.rank() == 0):  # rank 0 is the last to succeed
        files.set_exit_code(exit_code)
    return 0 if final and exit_code != EXIT_CODE else exit_code


def _run(config_path: str) -> tuple[int, bool]:
    """Returns the exit code, and whether it is that of the run: False if this process failed and may be restarted."""
    config = cast(dict[str, Any], OmegaConf.to_container(OmegaConf.load(config_path), resolve=True))
    run_dir = config.get("run_dir")
    log_file = RunFolder(Path(run_dir)).log_of(ranks.rank()) if run_dir else None
    _set_up_logging(log_file)
    files = ProcessGroupFiles.from_environment()
    try:
        unblock_interrupts()
        allow_own_classes(config)
        return import_module(f"genimg.tasks.{config['task']}").run(config), True
    except UserError as error:
        _log_failure(f"error: {error}")
        pass_on(error)
        return EXIT_CODE, True
    except KeyboardInterrupt:
        return 128 + signal.SIGINT, False  # the agent ends the others
    except RunFinished:
        return 0, True
    except PeersUnavailable as error:
        _log_failure(f"error: {error}: the run ends; to continue it, repeat each machine's command with resume=RUN")
        if files is not None:
            files.set_exit_code(1)
        return 1, False
    except PeerLost as error:
        log.error("%s", error, extra={"file_only": True})
        message = "error: another process of the run has ended, and this one ends with it"
        log.error(message, extra={"file_only": files is not None})
        return 1, False
    except Exception as error:
        trace = traceback.format_exc().rstrip()
        if (shortage := _describe_shortage(error)) is not None:
            log.error("%s", trace, extra={"file_only": True})  # a user-defined network may ask for too much
            _log_failure(f"error: {shortage}")
            return 1, False
        location = f"; the traceback is in {log_file}" if log_file else ""
        _log_failure(trace, f"error: the run failed with {type(error).__name__}: {error}{location}")
        return 1, False


def _describe_shortage(error: Exception) -> str | None:
    """Returns a message if the disk or the memory is full; otherwise None."""
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return f"the disk is full, and the run ends: {error}"
    # by name, since this module does not import torch; on the CPU torch raises a RuntimeError
    of_torch = type(error).__name__ == "OutOfMemoryError" or any(text in str(error) for text in _OF_TORCH)
    if of_torch or isinstance(error, MemoryError):
        device = "GPU" if "CUDA" in str(error) else "machine"
        request = re.search(r"([Tt]ried|Unable) to allocate [\d.]+ \w+", str(error))
        return (
            f"the memory of the {device} is full, and the run ends{f': {request[0].lower()}' if request else ''}\n"
            "  Reduce data.batch_size, model.width or data.image_size; dry_run=true shows the memory that a run needs."
        )
    return None


def _log_failure(*messages: str) -> None:
    """Logs an error. In a group only the first process that fails prints it: the others fail because of that one."""
    files = ProcessGroupFiles.from_environment()
    prints = files is None or files.claim_failure(ranks.restarts())
    for message in messages:
        log.error("%s", message, extra={"file_only": not prints})


class _Printable(logging.Formatter):
    """Formats messages without control characters. Their further lines are indented: none can pass for a message."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        first, *others = map(printable, record.message.split("\n"))
        record.message = "\n".join([first, *(line if line.startswith("  ") else f"  {line}" for line in others)])
        return super().formatMessage(record)


class _Console(logging.Handler):
    """Prints to the current sys.stdout or sys.stderr, which a progress bar may have replaced."""

    def filter(self, record: logging.LogRecord) -> bool | logging.LogRecord:
        return not getattr(record, "file_only", False) and super().filter(record)

    def emit(self, record: logging.LogRecord) -> None:
        print(
            self.format(record),
            file=sys.stderr if record.levelno >= logging.WARNING else sys.stdout,
            flush=True,
        )


def _log_thread_failure(failure: threading.ExceptHookArgs) -> None:
    """Logs to the file only: threads belong to libraries, and the code that needs their result reports the failure."""
    log.error("a thread failed: %r", failure.exc_value, extra={"file_only": True})


class _LogFile(logging.FileHandler):
    """Appends to a file, but not through a link, which an untrusted run folder may contain."""

    def _open(self) -> TextIOWrapper:
        return open(self.baseFilename, "a", encoding=self.encoding, errors=self.errors, opener=open_no_link)


def _set_up_logging(log_file: Path | None) -> None:
    """Logs plain lines to the terminal and, with the time, to `log_file`. Python warnings are logged too."""
    logging.captureWarnings(True)
    logging.raiseExceptions = False  # a full disk costs lines of the file, not the run
    threading.excepthook = _log_thread_failure
    console = _Console(logging.INFO if ranks.rank() == 0 else logging.ERROR)
    console.setFormatter(_Printable("%(message)s"))
    handlers: list[logging.Handler] = [console]
    if log_file:
        file = _LogFile(log_file, encoding="utf-8", errors="backslashreplace")  # names that are not UTF-8
        file.setFormatter(_Printable("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
        handlers.insert(0, file)  # a terminal that is paused holds up no line of the file
    logging.basicConfig(level=logging.WARNING, handlers=handlers, force=True)
    log.setLevel(logging.INFO)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
