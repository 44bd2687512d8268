"""The folder of a sweep: its plan, and what is known of each job. Any process of the sweep may read and write it."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

from genimg.common import sweep_table
from genimg.common.errors import UserError
from genimg.common.files import report_write_errors, write_json
from genimg.config.hydra_api import Override


class Job(NamedTuple):
    """One run of a sweep."""

    words: list[str]  # its overrides, without hydra.* and sweep.*
    name: str  # of its folder inside the sweep's


def is_of_job(override: Override) -> bool:
    """Whether an override says what a job is: it is not about the sweep or Hydra."""
    return not override.key_or_group.startswith(("hydra", "sweep."))


@dataclass(frozen=True)
class Record:
    """What became of a job. Without an exit code it is running, or was when the machine went down."""

    host: str
    pid: int  # of the process that waits for its worker
    seconds: float  # earlier sessions of a resumed job included
    exit_code: int | None = None
    error: str | None = None  # the last error in its log


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
        """The trials of a search, as Optuna keeps them."""
        return self.path / "optuna.journal"

    @property
    def places(self) -> Path:
        """The folder of places on a machine, for jobs side by side."""
        return self._records / "places" / socket.gethostname()

    def output(self, job_name: str) -> Path:
        """What the worker of a job printed, where jobs run side by side."""
        return self._records / f"{job_name}.log"

    def save_plan(self, words: list[str], jobs: list[Job]) -> None:
        write_json(self.plan, {"words": words, "jobs": [job._asdict() for job in jobs]})

    def load_plan(self) -> tuple[list[str], list[Job]]:
        """(words, jobs) of `save_plan`. UserError where the folder holds none."""
        try:
            plan = json.loads(self.plan.read_text(encoding="utf-8"))
            jobs = [Job(_strings(job["words"]), *_strings([job["name"]])) for job in plan["jobs"]]
            return _strings(plan["words"]), jobs
        except (OSError, ValueError, KeyError, TypeError) as error:
            expected = f"the folder of a sweep, which holds {self.plan.name}"
            raise UserError("sweep.resume", self.path, expected, hint="outputs/<date>/<time>-sweep") from error

    def write(self, job_name: str, record: Record) -> None:
        write_json(self._records / f"{job_name}.json", asdict(record))

    def read(self, job_name: str) -> Record | None:
        """The record of a job; None where it never started, or what it says is damaged: its checkpoint tells then."""
        return _record(self._records / f"{job_name}.json")

    def running_here(self) -> list[int]:
        """The processes on this machine that wait for a worker."""
        records = map(_record, self._records.rglob("*.json"))
        return [one.pid for one in records if one and one.exit_code is None and one.host == socket.gethostname()]

    def stop(self) -> None:
        """From now on no job starts."""
        self._stop.touch()

    @property
    def stopped(self) -> bool:
        return self._stop.exists()

    @contextmanager
    def held(self) -> Iterator[None]:
        """The folder for one command alone; what an earlier one left of its stopping is gone."""
        with report_write_errors("outputs", self.path):
            self._records.mkdir(parents=True, exist_ok=True)
            lock = open(self._records / "lock", "w")  # noqa: SIM115
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise UserError("sweep.resume", self.path, "a sweep that is not running", "wait for its end") from error
            self._stop.unlink(missing_ok=True)
            yield

    def hold_after_command(self) -> None:
        """Returns when the command that holds the folder is gone, however it ended. From then on this process holds
        it, and no other command does before it has ended too.
        """
        lock = os.open(self._records / "lock", os.O_RDONLY)
        fcntl.flock(lock, fcntl.LOCK_SH)  # the kernel frees it with the process that has it

    @property
    def _records(self) -> Path:
        return self.path / ".jobs"

    @property
    def _stop(self) -> Path:
        return self._records / "stop"


def _strings(node: object) -> list[str]:
    """`node`, a list of strings. Raises TypeError."""
    if not (isinstance(node, list) and all(isinstance(one, str) for one in node)):
        raise TypeError(f"{node!r:.60} where strings are expected")
    return node


def _record(path: Path) -> Record | None:
    try:
        record = Record(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    numbers = isinstance(record.seconds, int | float) and isinstance(record.pid, int)
    return record if numbers and isinstance(record.exit_code, int | None) else None


def here(seconds: float) -> Record:
    """The record of a job that this process waits for."""
    return Record(socket.gethostname(), os.getpid(), seconds)
