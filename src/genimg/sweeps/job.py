"""One job of a sweep, in whichever process a launcher starts it."""

from __future__ import annotations

import contextlib
import shutil
import signal
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, open_dict

from genimg.config.check import check
from genimg.config.compose import quoted, without_hydra
from genimg.config.names import flatten
from genimg.config.values import as_meant
from genimg.errors import EXIT_CODE, UserError
from genimg.runs import RunFolder
from genimg.session import Session
from genimg.sweeps.folder import SweepFolder, here

STOPPED = (128 + signal.SIGINT, 128 + signal.SIGTERM)  # exit codes


@dataclass(frozen=True)
class RunJob:
    """What a Hydra launcher calls for each job, and may send to other processes and machines to be called there.

    Called again for a job that was interrupted, as SLURM does when it requeues one, it goes on from its checkpoint.
    """

    session: Session
    folder: SweepFolder
    fail_fast: bool
    pruning: dict[str, Any]  # the callback that prunes a job, by the job's name

    def __call__(self, config: DictConfig) -> int | None:
        """The exit code of the job; None where the sweep was stopped before it."""
        hydra = HydraConfig.get()
        run, name, words = (
            RunFolder(Path(hydra.runtime.output_dir)),
            str(hydra.sweep.subdir),
            list(hydra.overrides.task),
        )
        with contextlib.suppress(OSError):
            run.path.rmdir()  # Hydra made it, and the launch makes its own so that no run is ever overwritten
        if self.folder.stopped:
            return None
        print(f"[{name.partition('-')[0]}] {' '.join(words)}", flush=True)
        before = self.folder.read(name)
        record = here(before.seconds if before else 0.0)
        self.folder.write(name, record)
        started = time.monotonic()
        exit_code, error = self._start(config, words, name, run)
        seconds = record.seconds + time.monotonic() - started
        self.folder.write(name, replace(record, seconds=seconds, exit_code=exit_code, error=error))
        if exit_code in STOPPED or (exit_code and self.fail_fast):
            self.folder.stop()
        return exit_code

    def _start(self, config: DictConfig, words: list[str], name: str, run: RunFolder) -> tuple[int, str | None]:
        """(exit code, the error of a job that failed). config: composed by Hydra from `words`, which are checked."""
        composer = self.session.composer
        try:
            if run.has_checkpoint():
                words = [f"resume={quoted(str(run.path))}"]
                config = check(composer, words)
            else:
                if run.path.exists():  # it failed before there was anything to go on from
                    shutil.rmtree(run.path)
                with open_dict(config):
                    config.hydra = HydraConfig.get()
                    as_meant(config, composer.parse(words), flatten(without_hydra(config)))
            if name in self.pruning:
                with open_dict(config):
                    config.callbacks.pruning = self.pruning[name]
            exit_code = self.session.start(config, words, run.path)
        except UserError as error:  # found on the machine that runs the job
            print(f"error: {error}", file=sys.stderr)
            return EXIT_CODE, str(error).splitlines()[0]
        return exit_code, None if exit_code in (0, *STOPPED) else _last_error(run, exit_code)


def _last_error(run: RunFolder, exit_code: int) -> str:
    """The last error in the log of `run`, on one line."""
    text = run.log.read_text(encoding="utf-8", errors="replace") if run.log.is_file() else ""
    lines = [line.partition(" ERROR ")[2] for line in text.splitlines() if " ERROR " in line]
    if lines:
        return lines[-1].partition(": ")[2].removeprefix("error: ")
    if exit_code > 128:
        return f"ended by {signal.Signals(exit_code - 128).name}, as when memory runs out"
    return f"exit code {exit_code}, with nothing in its log"
