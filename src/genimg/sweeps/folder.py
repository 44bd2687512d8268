"""The folder of a sweep: its plan, and a record of each job. Any process of the sweep may read and write it."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

from genimg.common import sweep_table
from genimg.common.errors import UserError
from genimg.common.files import create_numbered, open_no_link, report_write_errors, write_json
from genimg.common.reading import read_json
from genimg.config.flags import SEARCH
from genimg.config.hydra_api import Override

_CENTURY = 4e9  # seconds


class Job(NamedTuple):
    """One run of a sweep."""

    words: list[str]  # its overrides, without hydra.* and sweep.*
    name: str  # of its folder in the folder of the sweep


def is_job_override(override: Override) -> bool:
    """Whether an override belongs to a job rather than to the sweep or to Hydra."""
    return not override.key_or_group.startswith(("hydra", "sweep.", SEARCH))


@dataclass(frozen=True)
class Record:
    """The state of a job. Without an exit code it is running, or was when it was killed."""

    host: str
    pid: int  # of the process that waits for the job's worker
    seconds: float  # with earlier sessions of a resumed job
    exit_code: int | None = None
    error: str | None = None  # the last error in its log

    @classmethod
    def of_this_process(cls, seconds: float) -> Record:
        return cls(socket.gethostname(), os.getpid(), seconds)


@dataclass(frozen=True)
class SweepFolder:
    """`outputs/<date>/<time>-sweep/`, with a run folder for each job."""

    path: Path

    @property
    def plan(self) -> Path:
        """The overrides and the jobs, as JSON."""
        return self.path / "sweep.json"

    @property
    def table(self) -> Path:
        return self.path / sweep_table.NAME

    @property
    def comparison(self) -> Path:
        return self.path / "comparison.html"

    @property
    def journal(self) -> Path:
        """The trials of a search, in Optuna's format."""
        return self.path / "optuna.journal"

    @property
    def slots(self) -> Path:
        """The lock files of this machine's slots, for jobs side by side."""
        return self._records / "slots" / socket.gethostname()

    def output(self, job_name: str) -> Path:
        """The output of a job, if jobs run side by side."""
        return self._records / f"{job_name}.log"

    def create(self) -> SweepFolder:
        """Creates the folder, with a number appended if it exists: two sweeps may begin in the same second."""
        with report_write_errors("outputs", self.path):
            return SweepFolder(create_numbered(self.path, lambda path: path.mkdir(parents=True)))

    def save_plan(self, words: list[str], jobs: list[Job]) -> None:
        write_json(self.plan, {"words": words, "jobs": [job._asdict() for job in jobs]})

    def load_plan(self) -> tuple[list[str], list[Job]]:
        """Returns the arguments of `save_plan`. Raises UserError if the folder contains no plan."""
        try:
            plan = read_json(self.plan)
            jobs = [Job(_strings(job["words"]), *_strings([job["name"]])) for job in plan["jobs"]]
            return _strings(plan["words"]), jobs
        except (ValueError, KeyError, TypeError) as error:
            expected = f"the folder of a sweep, which contains {self.plan.name}"
            raise UserError("sweep.resume", self.path, expected, hint="outputs/<date>/<time>-sweep") from error

    def write(self, job_name: str, record: Record) -> None:
        write_json(self._records / f"{job_name}.json", asdict(record))

    def read(self, job_name: str) -> Record | None:
        """Returns the record of a job; None if it never started, or its record is damaged."""
        return _read_record(self._records / f"{job_name}.json")

    def running_here(self) -> list[int]:
        """Returns the processes on this machine that wait for a worker."""
        records = map(_read_record, self._records.rglob("*.json"))
        return [one.pid for one in records if one and one.exit_code is None and one.host == socket.gethostname()]

    def stop(self) -> None:
        """Prevents further jobs from starting."""
        self._stop.touch()

    @property
    def stopped(self) -> bool:
        return self._stop.exists()

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Locks the folder for this command, and allows jobs to start. Raises UserError if the sweep is running."""
        with report_write_errors("outputs", self.path):
            self._records.mkdir(parents=True, exist_ok=True)
            lock = open(self._records / "lock", "w", opener=open_no_link)  # noqa: SIM115
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise UserError("sweep.resume", self.path, "a sweep that is not running", "wait for its end") from error
            self._stop.unlink(missing_ok=True)
            yield

    def hold_after_command(self) -> None:
        """Returns when the command that holds the folder has ended, however it did.

        Then this process holds it, and no other command can before this process has ended.
        """
        lock = os.open(self._records / "lock", os.O_RDONLY)
        fcntl.flock(lock, fcntl.LOCK_SH)  # the kernel releases it when its process ends

    @property
    def _records(self) -> Path:
        return self.path / ".jobs"

    @property
    def _stop(self) -> Path:
        return self._records / "stop"


def _strings(node: object) -> list[str]:
    """Returns `node` if it is a list of strings; otherwise raises TypeError."""
    if not (isinstance(node, list) and all(isinstance(one, str) for one in node)):
        raise TypeError(f"{node!r:.60} where strings are expected")
    return node


def _read_record(path: Path) -> Record | None:
    try:
        record = Record(**read_json(path))
    except (ValueError, TypeError):
        return None
    numbers = isinstance(record.seconds, int | float) and 0 <= record.seconds < _CENTURY and isinstance(record.pid, int)
    text = isinstance(record.host, str) and isinstance(record.error, str | None)
    return record if numbers and text and isinstance(record.exit_code, int | None) else None
