"""Runs one job of a sweep, in the process in which a launcher starts it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import takewhile
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

from genimg.common.display import protect_standard_streams
from genimg.common.errors import EXIT_CODE, STOPPED, UserError, in_a_line
from genimg.common.files import hold_lock
from genimg.common.nodes import replaced
from genimg.common.processes import end_with_parent
from genimg.common.quoting import quoted
from genimg.common.run_config import PRUNING, may_set
from genimg.common.run_folder import RunFolder
from genimg.common.text import printable
from genimg.config.check import count_devices
from genimg.config.compose import line, without_hydra
from genimg.config.hydra_api import HydraConfig, flatten
from genimg.config.values import convert_types
from genimg.launch.session import Session, check
from genimg.sweeps.folder import Record, SweepFolder
from genimg.sweeps.resources import Slots
from genimg.sweeps.signals import end_with_command, own_session, save_before_requeue


@dataclass(frozen=True)
class RunJob:
    """The task function of a Hydra launcher, which calls it for each job and may send it to other machines.

    If it is called again for a job that was interrupted (SLURM requeues jobs), it continues from the checkpoint.
    """

    session: Session
    folder: SweepFolder
    fail_fast: bool
    downloads: bool  # whether data may be downloaded into data.root
    pruning: dict[str, Any]  # the callback that prunes a job, by the job's name
    slots: Slots | None  # for jobs that run side by side on this machine
    local: bool  # whether all jobs run on this machine and end with the command
    command: int = field(default_factory=os.getpid)  # its process id

    def __call__(self, config: DictConfig) -> int | None:
        """Returns the exit code of the job; None if the sweep was stopped before it."""
        protect_standard_streams()  # a launcher has started this process
        hydra = HydraConfig.get()
        run, name = RunFolder(Path(hydra.runtime.output_dir)), str(hydra.sweep.subdir)
        with contextlib.suppress(OSError):
            run.path.rmdir()  # Hydra created it; the launch creates it itself so that no run is overwritten
        if self.folder.stopped:
            return None
        number, words = name.partition("-")[0], list(hydra.overrides.task)
        print(f"[{number}] {printable(' '.join(words))}", flush=True)
        with own_session() if os.getpid() != self.command else contextlib.nullcontext():
            if self.slots is None:
                if self.local and os.getpid() != self.command:
                    end_with_command(self.folder)
                return self._run(config, words, name, run)
            with self.slots.acquire(self.folder.slots) as slot, redirect_output(self.folder.output(name)):
                exit_code = self._run(config, words, name, run, slot)
        print(f"[{number}] ends with exit code {exit_code}", flush=True)
        return exit_code

    def _run(self, config: DictConfig, words: list[str], name: str, run: RunFolder, slot: int | None = None) -> int:
        """Runs the job and keeps its record."""
        before = self.folder.read(name)
        record = Record.of_this_process(before.seconds if before else 0.0)
        self.folder.write(name, record)
        started = time.monotonic()
        with save_before_requeue() as requeue:
            exit_code, error = self._attempt(config, words, name, run, slot)
        seconds = record.seconds + time.monotonic() - started
        if requeue.handler is not None:
            self.folder.write(name, replace(record, seconds=seconds))
            requeue.handler()
        self.folder.write(name, replace(record, seconds=seconds, exit_code=exit_code, error=error))
        # a signal to the process of a single job stops no other job
        stopped = exit_code in STOPPED and os.getpid() == self.command
        if stopped or (exit_code not in (0, *STOPPED) and self.fail_fast):
            self.folder.stop()
        return exit_code

    def _attempt(
        self, config: DictConfig, words: list[str], name: str, run: RunFolder, slot: int | None
    ) -> tuple[int, str | None]:
        """Returns the exit code, and the error of a job that failed."""
        try:
            exit_code = self._start(config, words, name, run, slot)
        except UserError as mistake:  # found on the machine that runs the job
            print(f"error: {mistake}", file=sys.stderr)
            return EXIT_CODE, in_a_line(str(mistake))
        except SystemExit as stop:  # a signal before the worker started
            return int(stop.code or 0), None
        if exit_code in (0, *STOPPED):
            return exit_code, None
        return exit_code, _last_error(run, self.folder.output(name), exit_code)

    def _start(self, config: DictConfig, words: list[str], name: str, run: RunFolder, slot: int | None) -> int:
        """Returns the exit code of the worker. config: composed by Hydra from `words`, which are checked."""
        composer = self.session.composer
        if run.path.exists():
            with hold_lock(run.lock, "sweep.resume"):
                pass  # a worker whose command was killed saves first
        if run.is_complete():  # only its record is missing
            return 0
        if run.has_checkpoint():
            given = [line(one) for one in composer.parse(words) if not may_set(one.key_or_group)]
            machine = [word for word in given if word.lstrip("+").startswith(("trainer.", "trainer=", "launch."))]
            words = [f"resume={quoted(str(run.path))}", *machine]
            config = check(composer, words)
        else:
            if run.path.exists():  # it failed before its first checkpoint
                shutil.rmtree(run.path)
            with open_dict(config):
                config.hydra = HydraConfig.get()
                convert_types(config, composer.parse(words), flatten(without_hydra(config)))
                count_devices(config)
                if not self.downloads and "data" in config:
                    config.data = replaced(OmegaConf.to_container(config.data), "download", False)
        if name in self.pruning:
            with open_dict(config):
                config.callbacks[PRUNING] = self.pruning[name]
                if config.resume is not None:  # an untrusted configuration may not name the class
                    config.trust = [*config.trust, self.pruning[name]["_target_"]]
        if self.slots is not None and slot is not None:
            self.slots.apply(slot, config)
        return self.session.start(config, words, run.path)


@contextmanager
def redirect_output(path: Path) -> Iterator[None]:
    """Appends what this process and its children print to `path`. The process ends with its parent."""
    parent = os.getppid()
    end_with_parent(signal.SIGTERM)
    kept = [os.dup(1), os.dup(2)]
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        sys.stdout.flush()
        for descriptor, name in zip(kept, (1, 2), strict=True):
            os.dup2(descriptor, name)
            os.close(descriptor)
        if os.getppid() != parent:  # the signal ended the job; no parent is left to send another job
            os._exit(128 + signal.SIGTERM)


def _last_error(run: RunFolder, output: Path, exit_code: int) -> str:
    """Returns, on one line, the signal that ended the worker, the last error in its log or the last printed line."""
    if exit_code - 128 in signal.valid_signals():
        return f"ended by {signal.Signals(exit_code - 128).name}, as when memory runs out"
    lines = _lines(run.log)
    if errors := [number for number, line in enumerate(lines) if " ERROR " in line]:
        first, *following = lines[errors[-1] :]
        message = first.partition(" ERROR ")[2].partition(": ")[2].removeprefix("error: ")
        return in_a_line("\n".join([message, *takewhile(lambda line: line.startswith("  "), following)]))
    printed = [line for line in _lines(output) if line.strip()]
    return printed[-1] if printed else f"exit code {exit_code}, with nothing in its log"


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
